/**
 * Canaries: plugins that break one promise each, and the check of the conformance suite that must catch it, by name.
 *
 * The last test closes the circle: every check of the suite is caught failing by some canary, so none of them is decoration.
 */

import { closeSync, openSync } from "node:fs"
import { connect } from "node:net"
import { storagePluginSuite } from "imagelink/conformance/storage-plugin"
import { afterAll, describe, expect, it } from "vitest"
import { collect } from "./collect.ts"
import { type Device, memorySubject, type Twist } from "./memory.ts"

const suiteOn = (twist: Twist, only?: string) =>
  collect((runner, say) => storagePluginSuite(runner, { ...memorySubject(twist), say }), only)

type Read = Parameters<Device["read"]>
const later = () => new Promise((resolve) => setImmediate(resolve))

const canaries: ReadonlyArray<readonly [broken: string, caughtBy: string, twist: Twist]> = [
  // Shape, config, opening
  [
    "has no manifest",
    "is a plain value of apiVersion 1 with a complete manifest",
    { plugin: () => ({ manifest: { writable: true } }) },
  ],
  [
    "accepts any config",
    "refuses configs that make no sense, with a message for each",
    {
      plugin: () => ({
        config: { "~standard": { version: 1, vendor: "x", validate: (value: unknown) => ({ value: value ?? {} }) } },
      }),
    },
  ],
  [
    "writes into the config while validating",
    "accepts its sample's config twice, without changing it",
    {
      plugin: ({ config }) => ({
        config: {
          "~standard": {
            ...config?.["~standard"],
            validate: (value: { name?: string }) => {
              const result = config?.["~standard"].validate(value)
              if (value?.name !== undefined) value.name += "!"
              return result
            },
          },
        },
      }),
    },
  ],
  [
    "opens one byte too short",
    "opens a volume of the right size with all the functions it claims",
    { volume: ({ sizeBytes }) => ({ sizeBytes: sizeBytes - 1 }) },
  ],
  [
    "has write without flush",
    "opens a volume of the right size with all the functions it claims",
    { volume: () => ({ flush: undefined }) },
  ],
  [
    "is writable against its manifest",
    "has nothing to write through when the manifest says writable: false",
    { plugin: ({ manifest }) => ({ manifest: { ...manifest, writable: false } }) },
  ],
  [
    "cannot be written against its manifest",
    "can hold what is written when the manifest says writable: true",
    { plugin: () => ({ folder: undefined }), volume: () => ({ write: undefined, writeSync: undefined }) },
  ],
  [
    "throws a string when there is nothing",
    "refuses what is not there with the code that says so",
    {
      plugin: ({ open }) => ({
        open: async (config: { name: string }, context: never) =>
          config.name === "nobody" ? Promise.reject("no such thing") : open(config, context),
      }),
    },
  ],
  [
    "makes something that is not there",
    "refuses what is not there with the code that says so",
    {
      plugin: ({ open }) => ({
        open: (config: { name: string }, context: never) =>
          open({ ...config, name: config.name === "nobody" ? "sample-0" : config.name }, context).catch(() => ({
            close: async () => {},
          })),
      }),
    },
  ],
  [
    "stays broken after an aborted opening",
    "settles an opening that was aborted before it began, and opens normally afterwards",
    {
      plugin: ({ open }) => {
        let broken = false
        return {
          open: async (config: { name: string }, context: { signal: AbortSignal }) => {
            broken ||= context.signal.aborted
            if (broken) throw new Error("aborted")
            return open(config, context as never)
          },
        }
      },
    },
  ],
  [
    "shows other bytes to the second opening",
    "shows the same bytes in two openings at once",
    {
      volume: ({ read }, _, opening) => ({
        async read(into: Uint8Array, at: number, offset: number, length: number) {
          await read(into, at, offset, length)
          if (opening > 1) into[at] = into[at]! ^ 1
        },
      }),
    },
  ],
  [
    "forgets its bytes on close",
    "shows the same bytes when it is closed and opened again",
    { volume: (_, bytes) => ({ close: async () => void bytes.fill(0) }) },
  ],
  [
    "forgets its bytes when another opening closes",
    "keeps one opening readable when another is closed",
    { volume: (_, bytes) => ({ close: async () => void bytes.fill(0) }) },
  ],
  [
    "fails to close",
    "is closed once by the guard, after the reads in flight, which all succeed",
    { volume: () => ({ close: () => Promise.reject(new Error("busy")) }) },
  ],
  [
    "changes the config it makes a sibling of",
    "names a sibling without changing the config it was given",
    {
      plugin: () => ({
        sibling: (config: { name: string }, relative: string) => {
          config.name = relative
          return { name: relative }
        },
      }),
    },
  ],

  // Reading
  [
    "has a wrong last byte",
    "reads the first byte and the last",
    {
      volume: ({ read, sizeBytes }) => ({
        async read(into: Uint8Array, at: number, offset: number, length: number) {
          await read(into, at, offset, length)
          if (offset + length === sizeBytes) into[at + length - 1] = into[at + length - 1]! ^ 0xff
        },
      }),
    },
  ],
  [
    "reads short when much is asked for",
    "reads everything in one request",
    {
      volume: ({ read }) => ({
        read: (into: Uint8Array, at: number, offset: number, length: number) =>
          read(into, at, offset, Math.min(length, 131_072)),
      }),
    },
  ],
  [
    "rounds offsets down to blocks",
    "reads at, before and across every boundary",
    {
      volume: ({ read }) => ({
        read: (into: Uint8Array, at: number, offset: number, length: number) =>
          read(into, at, offset - (offset % 512), length),
      }),
    },
  ],
  [
    "ignores where in the buffer it shall begin",
    "fills exactly the part of the buffer it was given",
    {
      volume: ({ read }) => ({
        read: (into: Uint8Array, _: number, offset: number, length: number) => read(into, 0, offset, length),
      }),
    },
  ],
  [
    "fills whole blocks where part of one was asked for",
    "fills exactly the part of the buffer it was given",
    {
      volume: ({ read }) => ({
        read: (into: Uint8Array, at: number, offset: number, length: number) =>
          read(into, at, offset, Math.min(Math.ceil(length / 512) * 512, into.length - at)),
      }),
    },
  ],
  [
    "goes on filling the buffer after it has answered",
    "leaves the buffer alone once the read has settled",
    {
      volume: ({ read }) => ({
        async read(into: Uint8Array, at: number, offset: number, length: number) {
          await read(into, at, offset, length)
          setImmediate(() => read(into, at, offset, length))
        },
      }),
    },
  ],
  [
    "claims to have no end",
    "never sees a read one past the end, before the start, or of nothing: the guard refuses it",
    { volume: () => ({ sizeBytes: Number.MAX_SAFE_INTEGER }) },
  ],
  [
    "answers every hundredth read from the wrong place",
    "answers 200 random reads with their own bytes, one after another",
    {
      volume: ({ read }) => {
        let count = 0
        return {
          read: (into: Uint8Array, at: number, offset: number, length: number) =>
            read(into, at, ++count % 100 === 0 ? 0 : offset, length),
        }
      },
    },
  ],
  [
    "keeps one position for all reads in flight",
    "answers 64 reads at once with their own bytes",
    {
      volume: ({ read }) => {
        let position = 0
        return {
          async read(into: Uint8Array, at: number, offset: number, length: number) {
            position = offset
            await later()
            await read(into, at, position, length)
          },
        }
      },
    },
  ],
  [
    "answers true from readSync without reading",
    "answers readSync with true and all the bytes, or with false and none",
    { volume: () => ({ readSync: () => true }) },
  ],
  [
    "answers false from readSync after it has begun",
    "answers readSync with true and all the bytes, or with false and none",
    {
      volume: ({ readSync }) => ({
        readSync: (into: Uint8Array, at: number, offset: number) => readSync(into, at, offset, 1) && false,
      }),
    },
  ],
  [
    "has an async readSync",
    "answers readSync with true and all the bytes, or with false and none",
    { volume: ({ readSync }) => ({ readSync: async (...a: Parameters<typeof readSync>) => readSync(...a) }) },
  ],
  [
    "never recovers from an abort",
    "settles reads that are aborted, before or on the way, and goes on reading",
    {
      volume: ({ read }) => {
        let aborted = false
        return {
          async read(into: Uint8Array, at: number, offset: number, length: number, signal?: AbortSignal) {
            aborted ||= signal?.aborted === true
            if (aborted) throw new Error("aborted")
            await read(into, at, offset, length)
          },
        }
      },
    },
  ],

  // Identity and extents
  [
    "changes its identity at every look",
    "has an identity of a few short strings, which reading does not change",
    { volume: () => ({ identity: ((n) => async () => ({ looks: String(n++) }))(0) }) },
  ],
  [
    "has a number in its identity",
    "has an identity of a few short strings, which reading does not change",
    { volume: ({ sizeBytes }) => ({ identity: async () => ({ sizeBytes }) }) },
  ],
  [
    "counts its openings in its identity",
    "has the same identity in every opening",
    { volume: (_, __, opening) => ({ identity: async () => ({ opening: String(opening) }) }) },
  ],
  ...(
    [
      [
        "overlap",
        (offset: number, length: number) => [
          { offset, length, kind: "data" },
          { offset, length, kind: "data" },
        ],
      ],
      ["are empty", () => []],
      ["have no length", (offset: number) => [{ offset, length: 0, kind: "data" }]],
      [
        "go past what was asked for",
        (offset: number, length: number) => [{ offset, length: length + 1, kind: "data" }],
      ],
      ["begin too early", (offset: number, length: number) => [{ offset: offset - 1, length, kind: "data" }]],
      ["are of an unknown kind", (offset: number, length: number) => [{ offset, length, kind: "hole" }]],
    ] as const
  ).map(
    ([fault, extents]) =>
      [
        `tells extents that ${fault}`,
        "describes any range in adjoining extents from its start on, at most as many as asked for",
        { volume: () => ({ extents: async (offset: number, length: number) => extents(offset, length) }) },
      ] as const,
  ),
  [
    "calls data zero",
    "says zero or absent only where every byte is zero",
    { volume: () => ({ extents: async (offset: number, length: number) => [{ offset, length, kind: "zero" }] }) },
  ],
  [
    "calls everything data although it claims to be sparse",
    "tells its sample's hole from data",
    { volume: () => ({ extents: async (offset: number, length: number) => [{ offset, length, kind: "data" }] }) },
  ],

  // Writing
  [
    "takes back a read-only volume's refusal",
    "refuses writes with READ_ONLY where it has no write",
    { volume: () => ({ write: undefined, writeSync: () => true }) },
  ],
  [
    "loses the last byte of a write",
    "reads back what was written across every boundary, with the neighbours unchanged",
    {
      volume: ({ write }) => ({
        write: (from: Uint8Array, at: number, offset: number, length: number) => write(from, at, offset, length - 1),
      }),
    },
  ],
  [
    "writes whole blocks where part of one was given",
    "reads back what was written across every boundary, with the neighbours unchanged",
    {
      volume: ({ write, sizeBytes }) => ({
        write: (from: Uint8Array, at: number, offset: number, length: number) =>
          write(new Uint8Array(1024).fill(from[at]!), 0, offset, Math.min(Math.max(length, 512), sizeBytes - offset)),
      }),
    },
  ],
  [
    "answers true from writeSync without writing",
    "reads back what 100 random writes left",
    { volume: () => ({ writeSync: () => true }) },
  ],
  [
    "writes the caller's buffer only at flush",
    "is done with the caller's bytes when a write settles",
    {
      volume: ({ write }) => {
        const waiting: Array<() => Promise<void>> = []
        return {
          write: async (...request: Parameters<typeof write>) => void waiting.push(() => write(...request)),
          flush: async () => {
            for (const one of waiting.splice(0)) await one()
          },
        }
      },
    },
  ],
  [
    "writes everything in flight to the last place",
    "takes writes to different places at once",
    {
      volume: ({ write }) => {
        let place = 0
        return {
          async write(from: Uint8Array, at: number, offset: number, length: number) {
            place = offset
            await later()
            await write(from, at, place, length)
          },
        }
      },
    },
  ],
  [
    "keeps writes to one opening",
    "shows flushed writes when it is closed and opened again",
    {
      volume: (_, bytes) => {
        const before = bytes.slice()
        return { close: async () => bytes.set(before) }
      },
    },
  ],

  // Folders
  [
    "makes its folder by looking",
    "folder: is empty until something is written, and looking does not make it",
    { folder: ({ list }) => ({ list: async () => ["."].concat(await list()) }) },
  ],
  [
    "creates volumes full of ones",
    "folder: creates a volume of its full length that reads as zeros, first byte to last",
    {
      folderVolume: ({ read }) => ({
        async read(into: Uint8Array, at: number, offset: number, length: number) {
          await read(into, at, offset, length)
          into.fill(1, at, at + length)
        },
      }),
    },
  ],
  [
    "allocates what it creates",
    "folder: creates a volume larger than the disk, because it is sparse",
    {
      folder: ({ open }) => ({
        open: (name: string, options?: { create?: { sizeBytes: number } }) =>
          (options?.create?.sizeBytes ?? 0) > 2 ** 40
            ? Promise.reject(Object.assign(new Error("full"), { code: "ENOSPC" }))
            : open(name, options as never),
      }),
    },
  ],
  [
    "creates over what exists",
    "folder: refuses to create what exists, and leaves it as it was",
    {
      folder: ({ open, remove }) => ({
        open: async (name: string, options?: { create?: { sizeBytes: number } }) => {
          if (options?.create !== undefined) await remove(name)
          return open(name, options as never)
        },
      }),
    },
  ],
  [
    "answers true from a folder's writeSync without writing",
    "folder: reads back through both doors, before a flush and after opening again",
    { folderVolume: () => ({ writeSync: () => true }) },
  ],
  [
    "answers true to punch and punches nothing",
    "folder: punches a range to zeros, or says false and changes nothing",
    { folderVolume: () => ({ punch: async () => true }) },
  ],
  [
    "answers false to punch and punches half",
    "folder: punches a range to zeros, or says false and changes nothing",
    {
      folderVolume: ({ punch }) => ({
        punch: async (offset: number, length: number) => (await punch(offset, length / 2)) && false,
      }),
    },
  ],
  [
    "overwrites a longer file in place",
    "folder: replaces a file whole, longer by shorter, and lists only finished files",
    {
      folder: ({ readFile, replaceFile }) => ({
        replaceFile: async (name: string, bytes: Uint8Array) => {
          const whole = new Uint8Array(Math.max(bytes.length, (await readFile(name))?.length ?? 0))
          whole.set((await readFile(name)) ?? [])
          whole.set(bytes)
          await replaceFile(name, whole)
        },
      }),
    },
  ],
  [
    "lists its temporary files",
    "folder: keeps the last of several replacements at once",
    {
      folder: ({ replaceFile }) => ({
        replaceFile: async (name: string, bytes: Uint8Array) => {
          await replaceFile(`.${name}.new`, bytes)
          await replaceFile(name, bytes)
        },
      }),
    },
  ],
  [
    "does not rename over an older file",
    "folder: renames over an older file",
    { folder: () => ({ rename: () => Promise.reject(Object.assign(new Error("is there"), { code: "EEXIST" })) }) },
  ],
  [
    "fails to remove what is gone",
    "folder: holds folders, lists them by name in order, and removes them whole, twice",
    {
      folder: ({ list, remove }) => ({
        remove: async (name: string) => {
          if (!(await list()).includes(name)) throw Object.assign(new Error("gone"), { code: "ENOENT" })
          await remove(name)
        },
      }),
    },
  ],

  // Faults beneath
  [
    "takes the first piece of an answer for all of it",
    "fills whole reads from storage that answers in short pieces",
    {
      volume: (_right, _bytes, _n, device) => ({
        read: async (...request: Read) => void (await device.read(...request)),
      }),
    },
  ],
  [
    "answers zeros where it cannot read",
    "rejects the reads that meet an error in the middle, serves the others, and all of them once it has passed",
    {
      volume: ({ read }) => ({
        read: (...[into, at, offset, length]: Read) =>
          read(into, at, offset, length).catch(() => into.fill(0, at, at + length)),
      }),
    },
  ],
  [
    "fails for good after one error",
    "rejects the reads that meet an error in the middle, serves the others, and all of them once it has passed",
    {
      volume: ({ read }) => {
        let failed: Promise<void> | undefined
        return {
          read: (...request: Read) =>
            failed ??
            read(...request).catch((error) => {
              failed = Promise.reject(error)
              return failed
            }),
        }
      },
    },
  ],
  [
    "settles at an abort while the device still fills the buffer",
    "gives late answers to the reads that they belong to, and touches no buffer after its read has settled",
    {
      volume: ({ read }) => ({
        read: (into: Uint8Array, at: number, offset: number, length: number, signal?: AbortSignal) =>
          new Promise<void>((resolve, reject) => {
            signal?.addEventListener("abort", () => reject(signal.reason))
            read(into, at, offset, length).then(resolve, reject)
          }),
      }),
    },
  ],
  [
    "gives late answers to whoever asked first",
    "gives late answers to the reads that they belong to, and touches no buffer after its read has settled",
    {
      volume: (_right, bytes, _n, device) => {
        const waiting: Array<(offset: number) => void> = []
        return {
          async read(...[into, at, offset, length]: Read) {
            const mine = new Promise<number>((resolve) => waiting.push(resolve))
            await device.read(new Uint8Array(length), 0, offset, length)
            waiting.shift()!(offset)
            const from = await mine
            into.set(bytes.subarray(from, from + length), at)
          },
        }
      },
    },
  ],
  [
    "gives slow storage up",
    "is closed while reads are late: after them, and they succeed",
    {
      volume: ({ read }) => ({
        read: (...request: Read) =>
          Promise.race([read(...request), later().then(() => Promise.reject(new Error("too slow")))]),
      }),
    },
  ],
  [
    "reads zeros behind the end",
    "makes nothing up where its storage was cut while it was open",
    {
      volume: (_right, _bytes, _n, device) => ({
        async read(...[into, at, offset, length]: Read) {
          into.fill(0, at, at + length)
          await device.read(into, at, offset, length)
        },
      }),
    },
  ],
  [
    "is known by its name alone",
    "has another identity once its storage was cut, or is refused",
    { volume: () => ({ identity: async () => ({ name: "sample" }) }) },
  ],

  // Surroundings
  [
    "forgets to close what it opened",
    "keeps no descriptor when it is closed, nor when opening fails",
    {
      volume: () => {
        leaked.push(openSync("/dev/null", "r"))
        return {}
      },
    },
  ],
  [
    "asks a server, and says local: true",
    "crosses no network when the manifest says local: true",
    {
      volume: ({ read }) => ({
        async read(...request: Read) {
          await new Promise((resolve) => connect(1, "127.0.0.1").once("error", resolve))
          await read(...request)
        },
      }),
    },
  ],
  [
    "is gone with its process, and says persistent: true",
    "shows the same bytes to another process",
    {
      module: `data:text/javascript,export default {
        open: async () => ({ sizeBytes: 200000, read: async () => {}, close: async () => {} }),
      }`,
    },
  ],
]

const leaked: Array<number> = []
afterAll(() => {
  for (const fd of leaked) closeSync(fd)
})

describe("the conformance suite of storage plugins", () => {
  it("passes a plugin that does everything right, with nothing but refusals skipped", async () => {
    const { passed, failed, skipped } = await suiteOn({})
    expect([...failed]).toEqual([])
    expect(passed).toHaveLength(new Set(passed).size)
    expect(skipped).toEqual([
      'storage plugin memory: skipped "has nothing to write through when the manifest says writable: false": the manifest says writable: true',
      'storage plugin memory: skipped "refuses writes with READ_ONLY where it has no write": the volume has write',
      'storage plugin memory: skipped "shows the same bytes to another process": the subject does not say where the plugin\'s module is',
    ])
  })

  it.each(canaries)("catches a plugin that %s", async (_, caughtBy, twist) => {
    const { failed } = await suiteOn(twist, caughtBy)
    expect([...failed.keys()]).toEqual([caughtBy])
  })

  it("has a canary for every check", () => {
    const names = new Set<string>()
    for (const writable of [true, false])
      storagePluginSuite(
        { describe: (_, body) => body(), it: (name) => names.add(name) },
        { ...memorySubject({ plugin: ({ manifest }) => ({ manifest: { ...manifest, writable } }) }), say: () => {} },
      )
    const caught = new Set(canaries.map(([, caughtBy]) => caughtBy))
    expect([...names].filter((name) => !caught.has(name))).toEqual([])
    expect([...caught].filter((name) => !names.has(name))).toEqual([])
  })
})
