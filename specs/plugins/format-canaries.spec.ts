/**
 * Canaries of the format suite: formats that break one promise each, and the check that must catch it, by name.
 */

import { type FormatSubject, formatPluginSuite, sampleBytes } from "imagelink/conformance/format-plugin"
import { describe, expect, it } from "vitest"
import type { DiskFormat, FormatDisk } from "../../core/storage/format.ts"
import { collect } from "./collect.ts"
import { toyFormat, toySample } from "./toy-format.ts"

type Disk = { [K in keyof FormatDisk]?: unknown }
type Twist = { readonly [K in keyof DiskFormat]?: unknown }

const subject = (twist: Twist): FormatSubject => {
  const { files, guest } = toySample(sampleBytes(200_000))
  return {
    format: { ...toyFormat, ...twist } as DiskFormat,
    samples: [{ name: "three kinds of block", files, guest }],
    damaged: [
      { name: "too many blocks", files: { ...files, "disk.toy": files["disk.toy"].with(4, 0xff) } },
      { name: "no base", files: { "disk.toy": files["disk.toy"] } },
      { name: "no header", files: { "disk.toy": new Uint8Array(3) } },
    ],
    others: [{ name: "a raw disk", bytes: sampleBytes(4096) }],
  }
}
const suiteOn = (twist: Twist, only?: string) =>
  collect((runner, say) => formatPluginSuite(runner, { ...subject(twist), say }), only)

/** Breaks the disk that the format opens. */
const disk = (twist: (right: FormatDisk) => Disk): Twist => ({
  open: async (...given: Parameters<DiskFormat["open"]>) => {
    const right = await toyFormat.open(...given)
    return { ...right, ...twist(right) }
  },
})
type Read = Parameters<FormatDisk["read"]>

const canaries: ReadonlyArray<readonly [broken: string, caughtBy: string, twist: Twist]> = [
  ["has no version", "is a plain value of apiVersion 1 with a name, a probe and an open", { apiVersion: undefined }],
  ["does not know its own files", "claims each of its samples", { probe: () => ({ match: "no" }) }],
  ["claims everything", "claims nothing that belongs to others", { probe: () => ({ match: "magic" }) }],
  [
    "throws at a short head",
    "answers a probe of anything, of any length, and says what it is if it is foreign",
    {
      probe: ({ head }: { head: Uint8Array }) => ({
        match: new DataView(head.buffer).getUint32(0) === 0x544f5931 ? "magic" : "no",
      }),
    },
  ],
  [
    "turns the bytes around while probing",
    "does not change the bytes it probes, and answers the same twice",
    { probe: ({ head }: { head: Uint8Array }) => ({ match: head.reverse().at(-1) === 0x54 ? "magic" : "no" }) },
  ],
  [
    "answers the file's size",
    "opens a disk of the guest's size",
    disk(({ sizeBytes }) => ({ sizeBytes: sizeBytes + 512 })),
  ],
  [
    "reads only the first block",
    "reads the guest's whole disk in one request",
    disk(({ read }) => ({
      read: (...[into, at, offset, length]: Read) => read(into, at, offset, Math.min(length, 512)),
    })),
  ],
  [
    "reads whole blocks only",
    "reads at, before and across every boundary",
    disk(({ read }) => ({
      read: (...[into, at, offset, length]: Read) => read(into, at, offset - (offset % 512), length),
    })),
  ],
  [
    "ignores where in the buffer it shall begin",
    "fills exactly the part of the buffer it was given",
    disk(({ read }) => ({ read: (...[into, , offset, length]: Read) => read(into, 0, offset, length) })),
  ],
  [
    "keeps one position for all reads in flight",
    "answers 64 reads at once with their own bytes",
    disk(({ read }) => {
      let position = 0
      return {
        async read(...[into, at, offset, length]: Read) {
          position = offset
          await new Promise((resolve) => setImmediate(resolve))
          await read(into, at, position, length)
        },
      }
    }),
  ],
  [
    "answers true from readSync without reading",
    "answers readSync with true and all the bytes, or with false and none",
    disk(() => ({ readSync: () => true })),
  ],
  [
    "calls the base's blocks zero",
    "describes its disk in adjoining extents, zero only where it is zero",
    disk(() => ({ extents: async (offset: number, length: number) => [{ offset, length, kind: "zero" }] })),
  ],
  ["hides its base", "names what it depends on, in order of opening", disk(() => ({ dependsOn: [] }))],
  [
    "lets the guest write",
    "refuses a read one past the end, and has no write",
    disk(() => ({ write: async () => {}, flush: async () => {} })),
  ],
  [
    "leaves its base open",
    "never writes to a file, and closes every file it opened once its disk is closed",
    {
      open: (...[volume, context]: Parameters<DiskFormat["open"]>) =>
        toyFormat.open(volume, {
          ...context,
          sibling: async (name) => ({ ...(await read(context.sibling(name))), close: async () => {} }),
        }),
    },
  ],
  [
    "marks the file as in use",
    "never writes to a file, and closes every file it opened once its disk is closed",
    {
      open: async (...[volume, context]: Parameters<DiskFormat["open"]>) => {
        await volume.write?.(Uint8Array.of(1), 0, 12, 1)
        return toyFormat.open(volume, context)
      },
    },
  ],
  [
    "opens without its base",
    "refuses each damaged sample with an error of the closed list",
    {
      open: async (...[volume, context]: Parameters<DiskFormat["open"]>) =>
        toyFormat.open(volume, context).catch(() => ({ ...volume, sizeBytes: 512, dependsOn: [] })),
    },
  ],
  [
    "trusts that a header is there",
    "refuses or answers when its image is cut short anywhere",
    {
      open: async (...[volume, context]: Parameters<DiskFormat["open"]>) => {
        if (volume.sizeBytes < 16) Buffer.alloc(2).readUInt32BE(4)
        return toyFormat.open(volume, context)
      },
    },
  ],
  [
    "throws Node's own errors at a number it does not like",
    "refuses or answers when bytes of its image are flipped, 200 times",
    {
      open: async (...[volume, context]: Parameters<DiskFormat["open"]>) => {
        const table = new Uint8Array(256)
        await volume.read(table, 0, 16, Math.min(256, volume.sizeBytes - 16))
        if (table.some((kind) => kind > 2)) throw new RangeError("no such kind")
        return toyFormat.open(volume, context)
      },
    },
  ],
  [
    "throws its own errors when storage fails",
    "refuses with an error of the closed list when any one read of its opening fails",
    {
      open: (...given: Parameters<DiskFormat["open"]>) =>
        toyFormat.open(...given).catch(() => Promise.reject(new Error("no header"))),
    },
  ],
  [
    "remembers a failure for good",
    "refuses reads while storage fails, and reads right once it has passed",
    disk(({ read }) => {
      let failed: Promise<void> | undefined
      return {
        read: (...request: Read) =>
          failed ??
          read(...request).catch((error) => {
            failed = Promise.reject(error)
            return failed
          }),
      }
    }),
  ],
  [
    "reads through one scratch buffer",
    "gives late answers, the last first, to the reads that they belong to, and is closed after them",
    disk(({ read, sizeBytes }) => {
      const scratch = new Uint8Array(sizeBytes)
      return {
        async read(...[into, at, offset, length]: Read) {
          await read(scratch, 0, offset, length)
          await new Promise((resolve) => setImmediate(resolve))
          into.set(scratch.subarray(0, length), at)
        },
      }
    }),
  ],
  [
    "takes what it cannot read for zeros",
    "makes nothing up where its image was cut while it was open",
    disk(({ read }) => ({
      read: (...[into, at, offset, length]: Read) =>
        read(into, at, offset, length).catch(() => into.fill(0, at, at + length)),
    })),
  ],
]

/** A volume with only what reading needs, so that the rest can be replaced. */
const read = async (opening: ReturnType<Parameters<DiskFormat["open"]>[1]["sibling"]>) => {
  const volume = await opening
  return { sizeBytes: volume.sizeBytes, read: (...request: Read) => volume.read(...request) }
}

describe("the conformance suite of formats", () => {
  it("passes a format that does everything right, with nothing skipped", async () => {
    const { failed, skipped } = await suiteOn({})
    expect([...failed]).toEqual([])
    expect(skipped).toEqual([])
  })

  it.each(canaries)("catches a format that %s", async (_, caughtBy, twist) => {
    const { failed } = await suiteOn(twist, caughtBy)
    expect([...failed.keys()]).toEqual([caughtBy])
  })

  it("has a canary for every check", () => {
    const names = new Set<string>()
    formatPluginSuite(
      { describe: (_, body) => body(), it: (name) => names.add(name) },
      { ...subject({}), say: () => {} },
    )
    const caught = new Set(canaries.map(([, caughtBy]) => caughtBy))
    expect([...names].filter((name) => !caught.has(name))).toEqual([])
    expect([...caught].filter((name) => !names.has(name))).toEqual([])
  })
})
