import { describe, expect, it } from "vitest"
import { limits } from "../../../core/limits.ts"
import type { DiskFormat, FormatContext } from "../../../core/storage/format.ts"
import { openImageFile, siblingFault } from "../../../core/storage/open-image.ts"
import { openVolume } from "../../../core/storage/open-volume.ts"
import { PluginRegistry } from "../../../core/storage/registry.ts"
import { object, string } from "../../../core/storage/schema-builder.ts"
import type { Volume } from "../../../core/storage/volume.ts"
import raw from "../../../plugins/formats/raw/index.ts"

/** Files by path; what was opened and closed, in order. */
const shelf = (files: Record<string, Uint8Array | number>) => {
  const traffic: Array<string> = []
  const plugin = {
    apiVersion: 1,
    kind: "shelf",
    manifest: { persistent: true, writable: false, sparse: false, shared: true, local: true },
    config: object({ path: string({ min: 1 }) }),
    sibling: ({ path }: { path: string }, relative: string) => ({ path: path.replace(/[^/]*$/, relative) }),
    async open({ path }: { path: string }): Promise<Volume> {
      const file = files[path]
      if (file === undefined) throw Object.assign(new Error("not there"), { code: "ENOENT" })
      traffic.push(`open ${path}`)
      return {
        sizeBytes: typeof file === "number" ? file : file.length,
        read: async (into, at, offset, length) => {
          if (typeof file === "number") into.fill(0, at, at + length)
          else into.set(file.subarray(offset, offset + length), at)
        },
        identity: async () => ({ of: path }),
        close: async () => void traffic.push(`close ${path}`),
      }
    },
  }
  return { plugin, traffic }
}

const open = (
  { plugin }: { readonly plugin: unknown },
  {
    formats = [raw],
    format,
    path = "/srv/a.raw",
    signal = new AbortController().signal,
    config = { path } as unknown,
  } = {} as {
    formats?: ReadonlyArray<DiskFormat>
    format?: string
    path?: string
    signal?: AbortSignal
    config?: unknown
  },
) =>
  openImageFile({
    location: { kind: "shelf", config: config as Record<string, unknown> },
    plugins: new PluginRegistry().add(plugin, "shelf"),
    formats,
    host: { userName: () => "imagelink" },
    signal,
    ...(format === undefined ? {} : { format }),
  })

const refusal = (opening: Promise<unknown>) =>
  opening.then(
    () => "opened",
    (error: { code: string; reason: string }) => `${error.code}: ${error.reason}`,
  )

/** A format of two files: whatever `needs` names is opened besides. */
const chained = (needs: ReadonlyArray<string>, parts: Partial<DiskFormat> = {}): DiskFormat => ({
  apiVersion: 1,
  format: "chained",
  probe: () => ({ match: "magic" }),
  async open(volume: Volume, { sibling }: FormatContext) {
    const beside: Array<Volume> = []
    for (const name of needs) beside.push(await sibling(name))
    return {
      sizeBytes: volume.sizeBytes,
      dependsOn: needs,
      read: (...request) => volume.read(...request),
      close: async () => {
        for (const one of [volume, ...beside]) await one.close()
      },
    }
  },
  ...parts,
})

describe("an image file", () => {
  it("opens as its disk, with its format, sizes and the identity of its file", async () => {
    const bytes = new Uint8Array(1024).fill(7, 512)
    const source = shelf({ "/srv/a.raw": bytes })
    const image = await open(source)
    expect([image.format, image.sizeBytes]).toEqual(["raw", 1024])
    expect(image.files).toEqual([{ path: "/srv/a.raw", sizeBytes: 1024, identity: { of: "/srv/a.raw" } }])
    const into = new Uint8Array(1024)
    await image.disk.read(into, 0, 0, 1024)
    expect(into).toEqual(bytes)
    await image.disk.close()
    await image.disk.close()
    expect(source.traffic).toEqual(["open /srv/a.raw", "close /srv/a.raw"])
  })

  it.each([
    ["nothing", 0, "IMAGE_NOT_A_DISK: it is empty"],
    ["one byte", 1, "IMAGE_SIZE_ODD: the file was cut short, or it is not a raw disk image"],
    ["one byte less than a block", 511, "IMAGE_SIZE_ODD: the file was cut short, or it is not a raw disk image"],
    ["one block", 512, "opened"],
    ["one byte more than a block", 513, "IMAGE_SIZE_ODD: the file was cut short, or it is not a raw disk image"],
    ["the largest size", limits.imageBytesMax, "opened"],
    ["one block more", limits.imageBytesMax + 512, "IMAGE_TOO_LARGE: the image is larger than the limit on image size"],
  ])("of %s: %i bytes", async (_, sizeBytes, expected) => {
    const source = shelf({ "/srv/a.raw": sizeBytes })
    expect(await refusal(open(source))).toBe(expected)
    if (expected !== "opened") expect(source.traffic).toEqual(["open /srv/a.raw", "close /srv/a.raw"])
  })

  it("is refused by what is wrong: the kind, the config, the path, the format", async () => {
    const source = shelf({ "/srv/a.raw": 512 })
    expect(await refusal(open(source, { path: "/srv/b.raw" }))).toMatch(/^IMAGE_FILE_NOT_FOUND/)
    expect(await refusal(open(source, { config: { pth: 1 } }))).toBe(
      "PLUGIN_CONFIG_INVALID: path is missing; pth is not a key here; known: path",
    )
    expect(await refusal(open(source, { format: "qcow2" }))).toBe(
      "IMAGE_FORMAT_UNSUPPORTED: no format plugin for qcow2 is installed",
    )
    const other = { ...source.plugin, kind: "other" }
    expect(await refusal(open({ plugin: other }))).toBe("PLUGIN_NOT_FOUND: installed: other")
    expect(source.traffic).toEqual(["open /srv/a.raw", "close /srv/a.raw"])
  })

  it("is opened as the log records it, without looking at its content again", async () => {
    const qcow2 = new Uint8Array(1024)
    qcow2.set(Buffer.from("QFI\xfb", "latin1"))
    const source = shelf({ "/srv/a.raw": qcow2 })
    expect(await refusal(open(source))).toMatch(/^IMAGE_FORMAT_UNSUPPORTED/)
    expect((await open(source, { format: "raw" })).format).toBe("raw")
  })
})

describe("an image that depends on others", () => {
  const files = { "/srv/a.raw": 1024, "/srv/base.raw": 512, "/srv/parents/v1/base.raw": 2048 }

  it("records them in order of opening and closes them with its disk", async () => {
    const source = shelf(files)
    const image = await open(source, { formats: [chained(["base.raw", "parents/v1/base.raw"])] })
    expect(image.files.map((file) => [file.path, file.sizeBytes])).toEqual([
      ["/srv/a.raw", 1024],
      ["/srv/base.raw", 512],
      ["/srv/parents/v1/base.raw", 2048],
    ])
    expect(image.disk.dependsOn).toEqual(["base.raw", "parents/v1/base.raw"])
    await image.disk.close()
    expect(source.traffic.slice(3).sort()).toEqual([
      "close /srv/a.raw",
      "close /srv/base.raw",
      "close /srv/parents/v1/base.raw",
    ])
  })

  it("has what its format forgot to close closed, and the format is named for it", async () => {
    const source = shelf(files)
    const right = chained(["base.raw", "parents/v1/base.raw"])
    const forgetful: DiskFormat = {
      ...right,
      open: async (volume, context) => ({ ...(await right.open(volume, context)), close: () => volume.close() }),
    }
    const image = await open(source, { formats: [forgetful] })
    expect(await refusal(image.disk.close() as Promise<never>)).toBe(
      "PLUGIN_BROKE_CONTRACT: it closed its disk and left open: /srv/base.raw, /srv/parents/v1/base.raw; closed for it",
    )
    expect(source.traffic.slice(3).sort()).toEqual([
      "close /srv/a.raw",
      "close /srv/base.raw",
      "close /srv/parents/v1/base.raw",
    ])
  })

  it.each([
    ["../etc/shadow", "the name leads out of the image's folder"],
    ["parents/../../etc/shadow", "the name leads out of the image's folder"],
    ["parents/../base.raw", "the name leads out of the image's folder"],
    ["..", "the name leads out of the image's folder"],
    ["/etc/shadow", "an absolute name outside the image's folder could be any file of this server"],
    ["/srv/base.raw", "an absolute name outside the image's folder could be any file of this server"],
    ["C:/windows/win.ini", "an absolute name outside the image's folder could be any file of this server"],
    ["..\\base.raw", "the name has a backslash"],
    ["a\0b", "the name has control characters"],
    ["parents//base.raw", "it is not a plain relative name"],
    ["", "it is not a file name"],
  ])("may not name %j", async (name, why) => {
    const source = shelf(files)
    expect(await refusal(open(source, { formats: [chained([name])] }))).toBe(`IMAGE_DEPENDENCY_REFUSED: ${why}`)
    expect(source.traffic).toEqual(["open /srv/a.raw", "close /srv/a.raw"])
  })

  it("may name files beside and below itself, also with dots in their names", () => {
    for (const name of ["base.raw", "./base.raw", "parents/v1/base.raw", "..base", "a..b/c", "x".repeat(1024)])
      expect(siblingFault(name)).toBeUndefined()
    expect(siblingFault("x".repeat(1025))).toBe("the name is too long")
  })

  it("may open 128 others and not one more, so that a loop ends", async () => {
    const many = (count: number) => chained(Array(count).fill("base.raw"))
    expect(await refusal(open(shelf(files), { formats: [many(128)] }))).toBe("opened")
    const source = shelf(files)
    expect(await refusal(open(source, { formats: [many(129)] }))).toBe(
      "IMAGE_DEPENDENCY_REFUSED: an image may depend on at most 128 other files",
    )
    expect(source.traffic.filter((line) => line.startsWith("close"))).toHaveLength(129)
  })

  it("names the missing file, and is refused where the storage has single files only", async () => {
    await expect(open(shelf(files), { formats: [chained(["none.raw"])] })).rejects.toThrow(
      "the file /srv/none.raw is not there",
    )
    const { plugin } = shelf(files)
    expect(
      await refusal(open({ plugin: { ...plugin, sibling: undefined } }, { formats: [chained(["base.raw"])] })),
    ).toBe("IMAGE_DEPENDENCY_REFUSED: the storage plugin shelf opens single files only")
  })
})

/** A disk over the one whose name is written in its file, as `name` or as `name format`; without a name it is its own bytes. */
const nested: DiskFormat = {
  ...chained([]),
  format: "nested",
  probe: ({ head }) => ({ match: head[0] === 0x3e ? "magic" : "no" }),
  async open(volume, { disk }) {
    const text = new Uint8Array(volume.sizeBytes)
    await volume.read(text, 0, 0, volume.sizeBytes)
    const [name = "", format] = Buffer.from(text).toString().slice(1).trimEnd().split(" ")
    const below = await disk(name, format)
    return {
      sizeBytes: below.sizeBytes,
      dependsOn: [name, ...below.dependsOn],
      read: (...request) => below.read(...request),
      close: async () => {
        await below.close()
        await volume.close()
      },
    }
  },
}

describe("an image over another image", () => {
  const formats = [nested, raw]
  const over = (text: string) => new Uint8Array(512).fill(0x20).map((space, i) => `>${text}`.charCodeAt(i) || space)

  it("reads it through its own format, which its content or its name decides", async () => {
    const files = { "/srv/a.raw": over("b"), "/srv/b": over("parents/c raw"), "/srv/parents/c": over("d") }
    const source = shelf(files)
    const image = await open(source, { formats })
    expect([image.format, image.disk.dependsOn]).toEqual(["nested", ["b", "parents/c"]])
    expect(image.files.map((file) => file.path)).toEqual(["/srv/a.raw", "/srv/b", "/srv/parents/c"])
    const into = new Uint8Array(512)
    await image.disk.read(into, 0, 0, 512)
    expect(into).toEqual(over("d"))
    await image.disk.close()
    expect(source.traffic.slice(3).sort()).toEqual(["close /srv/a.raw", "close /srv/b", "close /srv/parents/c"])
  })

  it("finds the names of the other relative to the other", async () => {
    const files = { "/srv/a.raw": over("parents/b"), "/srv/parents/b": over("c"), "/srv/parents/c": 512 }
    const image = await open(shelf(files), { formats })
    expect(image.files.map((file) => file.path)).toEqual(["/srv/a.raw", "/srv/parents/b", "/srv/parents/c"])
  })

  it.each([
    ["itself", { "/srv/a.raw": over("a.raw") }],
    ["one over itself", { "/srv/a.raw": over("b"), "/srv/b": over("a.raw") }],
    ["one over itself further down", { "/srv/a.raw": over("b"), "/srv/b": over("c"), "/srv/c": over("b") }],
  ])("is refused over %s, and everything is closed", async (_, files) => {
    const source = shelf(files)
    expect(await refusal(open(source, { formats }))).toBe("IMAGE_DEPENDENCY_REFUSED: it depends on itself")
    const of = (what: string) => source.traffic.filter((line) => line.startsWith(what)).length
    expect(of("close")).toBe(of("open"))
  })

  it("is refused over itself under another name, which its identity tells", async () => {
    const source = shelf({ "/srv/a.raw": over("b"), "/srv/b": over("b") })
    const { plugin } = source
    const identity = async () => ({ inode: "7" })
    const one = { ...plugin, open: async (config: { path: string }) => ({ ...(await plugin.open(config)), identity }) }
    expect(await refusal(open({ plugin: one }, { formats }))).toBe("IMAGE_DEPENDENCY_REFUSED: it depends on itself")
  })

  it("may name absolutely what its storage finds in the folder of the image that was asked for", async () => {
    const chain = { "/srv/a.raw": over("deep/b"), "/srv/deep/b": over("/srv/base.raw raw") }
    const asked: Array<string> = []
    const source = (answer: (absolute: string) => unknown) => {
      const { plugin, traffic } = shelf({ ...chain, "/srv/base.raw": 512 })
      const relative = async ({ path }: { path: string }, absolute: string) => {
        asked.push(`${absolute} beside ${path}`)
        return answer(absolute)
      }
      return { plugin: { ...plugin, relative }, traffic }
    }
    const outcome = async (answer: (absolute: string) => unknown) => {
      const { plugin, traffic } = source(answer)
      const opened = await refusal(open({ plugin }, { formats }))
      return [opened, traffic.filter((line) => line.startsWith("open")).at(-1)]
    }
    const outside =
      "IMAGE_DEPENDENCY_REFUSED: an absolute name outside the image's folder could be any file of this server"
    expect(await outcome((absolute) => absolute.slice(5))).toEqual(["opened", "open /srv/base.raw"])
    expect(asked).toEqual(["/srv/base.raw beside /srv/a.raw"])
    expect(await outcome(() => undefined)).toEqual([outside, "open /srv/deep/b"])
    expect(await outcome(() => 7)).toEqual([outside, "open /srv/deep/b"])
    expect(await outcome(() => "/etc/shadow")).toEqual([outside, "open /srv/deep/b"])
    expect(await outcome(() => "../etc/shadow")).toEqual([
      "IMAGE_DEPENDENCY_REFUSED: the name leads out of the image's folder",
      "open /srv/deep/b",
    ])
  })

  it("may be one over two disks that are the same file, side by side", async () => {
    const twice: DiskFormat = {
      ...nested,
      async open(volume, { disk }) {
        const [one, two] = [await disk("b"), await disk("b")]
        return { ...one, sizeBytes: two.sizeBytes, dependsOn: ["b", "b"], read: two.read, close: () => volume.close() }
      },
    }
    expect(await refusal(open(shelf({ "/srv/a.raw": over(""), "/srv/b": 512 }), { formats: [twice, raw] }))).toBe(
      "opened",
    )
  })

  it("is refused where the format that its file names is not installed", async () => {
    const source = shelf({ "/srv/a.raw": over("b vhd"), "/srv/b": 512 })
    expect(await refusal(open(source, { formats }))).toBe(
      "IMAGE_FORMAT_UNSUPPORTED: no format plugin for vhd is installed",
    )
  })
})

describe("a format that fails", () => {
  it.each([
    ["throws something", { open: () => Promise.reject("no idea") }, "IO_ERROR: the plugin chained failed: no idea"],
    ["opens nothing", { open: async () => undefined as never }, "PLUGIN_BROKE_CONTRACT: open did not answer a volume"],
    [
      "throws while probing",
      {
        probe: () => {
          throw new Error("short")
        },
      },
      "PLUGIN_BROKE_CONTRACT: probe threw: short",
    ],
    ["probes to nothing", { probe: () => undefined as never }, "PLUGIN_BROKE_CONTRACT: probe answered {}"],
    [
      "knows nothing",
      { probe: () => ({ match: "no" }) },
      "IMAGE_NOT_A_DISK: none of the installed formats (chained) knows its content",
    ],
  ] as ReadonlyArray<[string, Partial<DiskFormat>, string]>)(
    "because it %s leaves nothing open",
    async (_, parts, expected) => {
      const source = shelf({ "/srv/a.raw": 512 })
      expect(await refusal(open(source, { formats: [chained([], parts)] }))).toBe(expected)
      expect(source.traffic).toEqual(["open /srv/a.raw", "close /srv/a.raw"])
    },
  )

  it("is chosen by magic before foreign before fallback, whatever their order", async () => {
    const says = (format: string, match: string): DiskFormat =>
      chained([], { format, probe: () => ({ match, what: "gzip" }) as never })
    const pick = async (...formats: Array<DiskFormat>) =>
      open(shelf({ "/srv/a.raw": 512 }), { formats }).then(
        (image) => image.format,
        (error: { code: string }) => error.code,
      )
    const [magic, foreign, fallback, no] = ["magic", "foreign", "fallback", "no"].map((match) =>
      says(match, match),
    ) as [DiskFormat, DiskFormat, DiskFormat, DiskFormat]
    expect(await pick(foreign, fallback, magic)).toBe("magic")
    expect(await pick(magic, foreign, fallback)).toBe("magic")
    expect(await pick(fallback, foreign, no)).toBe("IMAGE_FORMAT_UNSUPPORTED")
    expect(await pick(no, fallback)).toBe("fallback")
    const both = [magic, says("other", "magic")]
    expect(await refusal(open(shelf({ "/srv/a.raw": 512 }), { formats: both }))).toBe(
      "IMAGE_NOT_A_DISK: its content claims to be both magic and other",
    )
  })
})

describe("an opening that nobody waits for", () => {
  const location = { kind: "shelf", config: { path: "/srv/a.raw" } }

  it("never asks the plugin when it was aborted before", async () => {
    const source = shelf({ "/srv/a.raw": 512 })
    expect(await refusal(open(source, { signal: AbortSignal.abort() }))).toMatch(/^CANCELLED/)
    expect(source.traffic).toEqual([])
  })

  it("settles at once, and the volume that comes too late is closed", async () => {
    const source = shelf({ "/srv/a.raw": 512 })
    const { promise, resolve } = Promise.withResolvers<void>()
    const slow = {
      ...source.plugin,
      open: (config: { path: string }) => promise.then(() => source.plugin.open(config)),
    }
    const controller = new AbortController()
    const plugins = new PluginRegistry().add(slow, "shelf")
    const opening = refusal(openVolume(location, { plugins, host: {}, signal: controller.signal }))
    await new Promise((turn) => setImmediate(turn))
    controller.abort()
    expect(await opening).toMatch(/^CANCELLED/)
    expect(source.traffic).toEqual([])
    resolve()
    await new Promise((turn) => setImmediate(turn))
    expect(source.traffic).toEqual(["open /srv/a.raw", "close /srv/a.raw"])
  })
})
