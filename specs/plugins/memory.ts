/**
 * A storage plugin that does everything right, in memory, and a way to break one thing in it.
 *
 * **Details** It has every optional part, so the whole conformance suite applies to it. A twist replaces one part of the plugin, of its
 * volumes or of its folders; what it does not name stays right.
 */
import type { StoragePlugin } from "../../core/storage/plugin.ts"
import { check, object, string } from "../../core/storage/schema-builder.ts"
import type { Volume, VolumeFolder, WritableVolume } from "../../core/storage/volume.ts"
import { type SampleFaults, type StoragePluginSubject, sampleBytes } from "../conformance/storage-plugin.ts"

type FullVolume = Required<Volume>
type Plugin = StoragePlugin<{ readonly name: string }>

export interface Twist {
  readonly plugin?: (right: Plugin) => Partial<{ -readonly [K in keyof Plugin]: unknown }>
  /** `opening` counts from 1. */
  readonly volume?: (
    right: FullVolume,
    bytes: Uint8Array,
    opening: number,
    device: Device,
  ) => { [K in keyof Volume]?: unknown }
  /** Where another process finds the plugin. */
  readonly module?: string
  readonly folder?: (right: VolumeFolder) => { [K in keyof VolumeFolder]?: unknown }
  readonly folderVolume?: (right: FullVolume) => { [K in keyof Volume]?: unknown }
}

const HOLE: readonly [number, number] = [65_536, 65_536]

/** Keeps what it is given: two volumes over one array share their bytes. */
export const memoryVolume = (bytes: Uint8Array): FullVolume => {
  const read: FullVolume["readSync"] = (into, at, offset, length) => {
    into.set(bytes.subarray(offset, offset + length), at)
    return true
  }
  const write: FullVolume["writeSync"] = (from, at, offset, length) => {
    bytes.set(from.subarray(at, at + length), offset)
    return true
  }
  return {
    sizeBytes: bytes.length,
    readSync: read,
    read: async (into, at, offset, length) => void read(into, at, offset, length),
    writeSync: write,
    write: async (from, at, offset, length) => void write(from, at, offset, length),
    flush: async () => {},
    close: async () => {},
    identity: async () => ({ sizeBytes: String(bytes.length) }),
    punch: async (offset, length) => {
      bytes.fill(0, offset, offset + length)
      return true
    },
    extents: async (offset, length, max) => {
      const extents = []
      for (let at = offset; at < offset + length && extents.length < max; ) {
        const kind = bytes[at] === 0 ? ("zero" as const) : ("data" as const)
        let end = at
        while (end < offset + length && (bytes[end] === 0) === (kind === "zero")) end++
        extents.push({ offset: at, length: end - at, kind })
        at = end
      }
      return extents
    },
  }
}

/** What the plugin reads from: it answers as many bytes as it likes, when it likes. */
export interface Device {
  size: number
  read(into: Uint8Array, at: number, offset: number, length: number): Promise<number>
}

const faultyDevice = (bytes: Uint8Array): { readonly device: Device; readonly faults: SampleFaults } => {
  let [short, bad, met] = [Number.POSITIVE_INFINITY, -1, 0]
  let held: Array<() => void> | undefined
  const device: Device = {
    size: bytes.length,
    async read(into, at, offset, length) {
      const given = Math.max(0, Math.min(length, short, device.size - offset))
      const fails = offset <= bad && bad < offset + length
      if (given < length || fails || held !== undefined) met += 1
      await new Promise<void>((resolve) => (held === undefined ? resolve() : held.push(resolve)))
      if (fails) throw Object.assign(new Error("EIO: i/o error"), { code: "EIO" })
      into.set(bytes.subarray(offset, offset + given), at)
      return given
    },
  }
  const fault = (end: () => void) => ({
    get met() {
      return met
    },
    end,
  })
  const faults: SampleFaults = {
    short(bytesMax) {
      short = bytesMax
      return fault(() => (short = Number.POSITIVE_INFINITY))
    },
    fail(offset) {
      bad = offset
      return fault(() => (bad = -1))
    },
    late() {
      held = []
      return fault(() => {
        for (const go of held?.reverse() ?? []) go()
        held = undefined
      })
    },
    async shrink(sizeBytes) {
      device.size = sizeBytes
    },
  }
  return { device, faults }
}

/** All of a range, in as many pieces as the device gives. */
const readFrom =
  (device: Device): Volume["read"] =>
  async (into, at, offset, length) => {
    for (let done = 0; done < length; ) {
      const count = await device.read(into, at + done, offset + done, length - done)
      if (count === 0) throw new Error("the device ends early")
      done += count
    }
  }

/** Names in `store` are paths; a large sparse volume is kept as its last 4 KiB and zeros. */
const memoryFolder = (store: Map<string, Uint8Array>, path: string, twist: Twist): VolumeFolder => {
  const missing = () => Object.assign(new Error("not there"), { code: "ENOENT" })
  const right: VolumeFolder = {
    path,
    async open(name, options) {
      const key = `${path}/${name}`
      const create = options?.create
      if (create !== undefined) {
        if (store.has(key)) throw Object.assign(new Error("is there"), { code: "EEXIST" })
        if (create.sizeBytes > 2 ** 30) return tailOnly(create.sizeBytes)
        store.set(key, new Uint8Array(create.sizeBytes))
      }
      const bytes = store.get(key)
      if (bytes === undefined) throw missing()
      const volume = memoryVolume(bytes)
      return { ...volume, ...twist.folderVolume?.(volume) } as WritableVolume
    },
    readFile: async (name) => store.get(`${path}/${name}`)?.slice(),
    replaceFile: async (name, bytes) => void store.set(`${path}/${name}`, bytes.slice()),
    async list() {
      const inside = [...store.keys()].filter((key) => key.startsWith(`${path}/`))
      return [...new Set(inside.map((key) => key.slice(path.length + 1).split("/")[0]!))].sort()
    },
    folder: (name) => memoryFolder(store, `${path}/${name}`, twist),
    async rename(from, to) {
      const bytes = store.get(`${path}/${from}`)
      if (bytes === undefined) throw missing()
      store.set(`${path}/${to}`, bytes)
      store.delete(`${path}/${from}`)
    },
    async remove(name) {
      const key = `${path}/${name}`
      for (const other of store.keys()) if (other === key || other.startsWith(`${key}/`)) store.delete(other)
    },
    sync: async () => {},
  }
  return { ...right, ...twist.folder?.(right) } as VolumeFolder
}

const tailOnly = (sizeBytes: number): WritableVolume => {
  const tail = memoryVolume(new Uint8Array(4096))
  const start = sizeBytes - 4096
  return {
    ...tail,
    sizeBytes,
    read: (into, at, offset, length) => tail.read(into, at, offset - start, length),
    write: (from, at, offset, length) => tail.write(from, at, offset - start, length),
  }
}

/** The subject for the suite: right, but for the twist. */
export const memorySubject = (twist: Twist = {}): StoragePluginSubject => {
  const store = new Map<string, Uint8Array>()
  const devices = new Map<string, Device>()
  let opening = 0
  let made = 0
  const right: Plugin = {
    apiVersion: 1,
    kind: "memory",
    manifest: { persistent: true, writable: true, sparse: true, shared: true, local: true },
    config: object({
      name: check(string({ min: 1 }), (name) => (name.includes("?") ? "has a question mark" : undefined)),
    }),
    async open({ name }) {
      const bytes = store.get(name)
      if (bytes === undefined) throw Object.assign(new Error("not there"), { code: "ENOENT" })
      const device = devices.get(name)!
      const volume = {
        ...memoryVolume(bytes),
        sizeBytes: device.size,
        read: readFrom(device),
        identity: async () => ({ sizeBytes: String(device.size) }),
      }
      return { ...volume, ...twist.volume?.(volume, bytes, ++opening, device) } as Volume
    },
    sibling: ({ name }, relative) => ({ name: `${name}/${relative}` }),
    folder: ({ name }) => memoryFolder(store, name, twist),
  }
  return {
    plugin: { ...right, ...twist.plugin?.(right) } as StoragePlugin,
    async sample() {
      const name = `sample-${made++}`
      const bytes = sampleBytes(200_000, { holes: [HOLE] })
      const kept = bytes.slice()
      const { device, faults } = faultyDevice(kept)
      store.set(name, kept)
      devices.set(name, device)
      return { config: { name }, bytes, faults, release: async () => void store.delete(name) }
    },
    folder: async () => ({ config: { name: `folder-${made++}` } }),
    ...(twist.module !== undefined && { module: twist.module }),
    refused: [{ name: "" }, { name: "who?" }, {}],
    missing: { config: { name: "nobody" }, code: "IMAGE_FILE_NOT_FOUND" },
  }
}
