/** qcow2 files that qemu made, read by us: byte for byte what qemu itself reads, whatever the options. */
import { mkdtempSync } from "node:fs"
import { mkdir, open, readFile, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import type { OpenedImage } from "../../core/storage/open-image.ts"
import { openFile, readDisk } from "../support/image-files.ts"
import { noise, run } from "../support/nbd-server.ts"
import { type Random, random } from "../support/random.ts"
import { requires } from "../support/requires.ts"

const qemu = requires("qemu-img", "qemu-utils")
const folder = mkdtempSync(join(tmpdir(), "imagelink-qcow2-"))
afterAll(() => rm(folder, { recursive: true, force: true }))
const at = (name: string) => join(folder, name)
const KiB = 1024
const MiB = 1024 * KiB

/** qemu looks for an external data file in the folder it runs in, not beside the image, so everything runs there. */
const inFolder = (tool: string, ...args: ReadonlyArray<string>) => run("env", "-C", folder, tool, ...args)
const qemuIo = (path: string, commands: ReadonlyArray<string>) =>
  inFolder("qemu-io", "-f", "qcow2", ...commands.flatMap((command) => ["-c", command]), path)
const create = (path: string, sizeBytes: number, options: string, ...more: ReadonlyArray<string>) =>
  inFolder(
    ...(["qemu-img", "create", "-q", "-f", "qcow2"] as const),
    ...(options === "" ? [] : ["-o", options]),
    ...more,
    path,
    `${sizeBytes}`,
  )

/** What qemu reads. */
const byQemu = async (path: string, format = "qcow2"): Promise<Buffer> => {
  await inFolder("qemu-img", "convert", "-f", format, "-O", "raw", path, `${path}.raw`)
  const bytes = await readFile(`${path}.raw`)
  await rm(`${path}.raw`)
  return bytes
}

/** Writes, zeroes and discards all over a disk, on odd places. */
const scribbles = (r: Random, sizeBytes: number, count: number): ReadonlyArray<string> =>
  Array.from({ length: count }, () => {
    const offset = r.int(sizeBytes / 512) * 512
    const length = Math.min(sizeBytes - offset, (1 + r.int(r.chance(0.5) ? 16 : 600)) * 512)
    const what = r.pick(["write", "write", "write", "write -z", "write -z -u", "discard"])
    return what === "write" ? `write -P ${1 + r.int(255)} ${offset} ${length}` : `${what} ${offset} ${length}`
  })

/** Everything that a reader can be asked: the whole, 200 random ranges through both doors, and the extents. */
const expectReads = async (image: OpenedImage, expected: Buffer, seed: number): Promise<void> => {
  expect(image.sizeBytes, `seed ${seed}`).toBe(expected.length)
  expect((await readDisk(image)).equals(expected), `seed ${seed}: the whole disk`).toBe(true)
  const r = random(seed)
  for (let i = 0; i < 200; i++) {
    const offset = r.int(expected.length)
    const length = Math.min(expected.length - offset, 1 + r.int(r.chance(0.5) ? 5000 : 300_000))
    const part = Buffer.alloc(length + 2, 0xa5)
    if (!image.disk.readSync(part, 1, offset, length)) await image.disk.read(part, 1, offset, length)
    const same = part.subarray(1, length + 1).equals(expected.subarray(offset, offset + length))
    expect([same, part[0], part[length + 1]], `seed ${seed}: ${length} bytes at ${offset}`).toEqual([true, 0xa5, 0xa5])
  }
  for (let from = 0; from < expected.length; ) {
    for (const e of await image.disk.extents(from, expected.length - from, 7)) {
      if (e.kind !== "data")
        expect(
          expected.subarray(e.offset, e.offset + e.length).every((byte) => byte === 0),
          `seed ${seed}`,
        ).toBe(true)
      from = e.offset + e.length
    }
  }
}

const expectAsQemu = async (path: string, seed: number): Promise<OpenedImage> => {
  const image = await openFile(path)
  try {
    expect(image.format).toBe("qcow2")
    await expectReads(image, await byQemu(path), seed)
  } finally {
    await image.disk.close()
  }
  return image
}

const SIZE = 6 * MiB + 1536

/** Options of `qemu-img create`, and the sizes that go with them. */
const matrix: ReadonlyArray<readonly [options: string, sizeBytes?: number]> = [
  ["compat=0.10"],
  ["compat=1.1"],
  ["compat=0.10,cluster_size=512", 3 * MiB + 512],
  ["compat=1.1,cluster_size=512", 3 * MiB + 512],
  ["cluster_size=1k", 3 * MiB],
  ["cluster_size=4k"],
  ["cluster_size=1M"],
  ["cluster_size=2M"],
  ["cluster_size=2M", 512],
  ["extended_l2=on"],
  ["extended_l2=on,cluster_size=16k"],
  ["extended_l2=on,cluster_size=128k"],
  ["extended_l2=on,cluster_size=2M"],
  ["lazy_refcounts=on"],
  ["refcount_bits=1"],
  ["refcount_bits=64"],
  ["preallocation=metadata"],
  ["preallocation=falloc"],
  ["preallocation=full"],
  ["preallocation=metadata,extended_l2=on"],
  ["compression_type=zstd"],
  ["compression_type=zstd,extended_l2=on"],
]

describe.skipIf(qemu.skip)("a qcow2 file that qemu wrote", () => {
  it.each(matrix.map(([options, sizeBytes = SIZE]) => ({ options, sizeBytes })))(
    "with $options, of $sizeBytes bytes, empty and then scribbled over",
    async ({ options, sizeBytes }) => {
      const seed = options.length * 31 + sizeBytes
      const path = at(`plain-${seed}.qcow2`)
      await create(path, sizeBytes, options)
      await expectAsQemu(path, seed)
      await qemuIo(path, scribbles(random(seed), sizeBytes, 40))
      await expectAsQemu(path, seed)
    },
  )

  it.each([
    ["compat=0.10"],
    ["compression_type=zlib"],
    ["compression_type=zstd"],
    ["compression_type=zlib,cluster_size=512"],
    ["compression_type=zstd,cluster_size=4k"],
    ["compression_type=zlib,cluster_size=2M"],
    ["compression_type=zstd,cluster_size=2M"],
    ["compression_type=zlib,extended_l2=on"],
    ["compression_type=zstd,extended_l2=on"],
  ])("compressed, with %s, and then overwritten in places", async (options) => {
    const seed = options.length * 37
    const size = 2 * MiB + 3 * 512
    const content = noise(size, seed)
    for (let i = 0; i + 5000 < size; i += 20_000) content.fill(i & 0xff, i, i + 15_000)
    content.fill(0, 300_000, 500_000)
    await writeFile(at("plain.raw"), content)
    const path = at(`packed-${seed}.qcow2`)
    await run("qemu-img", "convert", "-q", "-c", "-f", "raw", "-O", "qcow2", "-o", options, at("plain.raw"), path)
    const image = await openFile(path)
    await expectReads(image, content, seed)
    await image.disk.close()
    await qemuIo(path, scribbles(random(seed), size, 12))
    await expectAsQemu(path, seed)
  })

  it.each([["data_file_raw=off"], ["data_file_raw=on"], ["data_file_raw=off,extended_l2=on,cluster_size=128k"]])(
    "with an external data file, and %s",
    async (options) => {
      const seed = options.length * 41
      const path = at(`external-${seed}.qcow2`)
      await create(path, SIZE, `data_file=external-${seed}.data,${options}`)
      await expectAsQemu(path, seed)
      await qemuIo(path, scribbles(random(seed), SIZE, 40))
      const { files, disk } = await expectAsQemu(path, seed)
      expect(files.map((file) => file.path)).toEqual([path, at(`external-${seed}.data`)])
      expect(disk.dependsOn).toEqual([`external-${seed}.data`])
    },
  )

  it("with internal snapshots, as its active state", async () => {
    const path = at("snapshots.qcow2")
    await create(path, SIZE, "")
    await qemuIo(path, scribbles(random(1), SIZE, 20))
    await run("qemu-img", "snapshot", "-c", "before", path)
    await qemuIo(path, scribbles(random(2), SIZE, 20))
    await run("qemu-img", "snapshot", "-c", "between", path)
    await qemuIo(path, scribbles(random(3), SIZE, 20))
    await expectAsQemu(path, 4)
    await run("qemu-img", "snapshot", "-a", "before", path)
    await expectAsQemu(path, 5)
  })

  it("that is still marked dirty, because its refcounts are lazy", async () => {
    const path = at("dirty.qcow2")
    await create(path, SIZE, "lazy_refcounts=on")
    await qemuIo(path, [...scribbles(random(6), SIZE, 20), "flush", "abort"]).catch(() => undefined)
    expect((await readFile(path)).readUInt8(79) & 1).toBe(1)
    const image = await openFile(path)
    const bytes = await readDisk(image)
    await image.disk.close()
    expect(bytes.equals(await byQemu(path))).toBe(true)
  })

  it("of 64 GiB with a few bytes at its ends, in no time", async () => {
    const path = at("large.qcow2")
    const size = 64 * KiB * MiB
    await create(path, size, "cluster_size=4k")
    await qemuIo(path, ["write -P 1 0 512", `write -P 2 ${size - 512} 512`])
    const image = await openFile(path)
    const part = Buffer.alloc(1024)
    await image.disk.read(part, 0, size - 1024, 1024)
    expect([part[511], part[512], part[1023]]).toEqual([0, 2, 2])
    expect(await image.disk.extents(0, size, 10)).toEqual([
      { offset: 0, length: 4096, kind: "data" },
      { offset: 4096, length: size - 8192, kind: "zero" },
      { offset: size - 4096, length: 4096, kind: "data" },
    ])
    await image.disk.close()
  })
})

describe.skipIf(qemu.skip)("a chain of files that qemu wrote", () => {
  const overlay = async (
    name: string,
    below: string,
    format: string,
    sizeBytes: number,
    options: string,
    seed: number,
  ) => {
    await create(at(name), sizeBytes, options, "-b", below, "-F", format)
    await qemuIo(at(name), scribbles(random(seed), sizeBytes, 20))
  }

  it.each([
    ["as long", SIZE],
    ["longer", SIZE + 3 * MiB + 512],
    ["shorter", SIZE - 2 * MiB - 512],
  ])("whose top is %s", async (what, sizeBytes) => {
    const seed = sizeBytes % 1009
    const base = noise(SIZE, seed)
    base.fill(0, MiB, 2 * MiB)
    await writeFile(at(`base-${what}.raw`), base)
    await overlay(`v2-${what}.qcow2`, `base-${what}.raw`, "raw", SIZE, "compat=0.10,cluster_size=4k", seed)
    await overlay(`v3-${what}.qcow2`, `v2-${what}.qcow2`, "qcow2", SIZE + MiB, "extended_l2=on", seed + 1)
    await overlay(`top-${what}.qcow2`, `v3-${what}.qcow2`, "qcow2", sizeBytes, "cluster_size=16k", seed + 2)
    const { disk, files } = await expectAsQemu(at(`top-${what}.qcow2`), seed)
    const names = [`v3-${what}.qcow2`, `v2-${what}.qcow2`, `base-${what}.raw`]
    expect(disk.dependsOn).toEqual(names)
    expect(files.map((file) => file.path)).toEqual([`top-${what}.qcow2`, ...names].map(at))
  })

  it("of a hundred files, some with clusters of their own", async () => {
    await create(at("deep0.qcow2"), MiB, "cluster_size=4k")
    await qemuIo(at("deep0.qcow2"), ["write -P 200 0 1M"])
    for (let n = 1; n < 100; n++) {
      const path = at(`deep${n}.qcow2`)
      await create(path, MiB, "cluster_size=4k", "-u", "-b", `deep${n - 1}.qcow2`, "-F", "qcow2")
      if (n % 11 === 0) await qemuIo(path, [`write -P ${n} ${n * 8192} 4k`])
    }
    await expectAsQemu(at("deep99.qcow2"), 10)
  })

  it("over a raw file of no whole blocks, whose rest reads as zeros", async () => {
    await writeFile(at("odd.raw"), noise(70_001, 9))
    await create(at("over-odd.qcow2"), MiB, "cluster_size=4k", "-b", "odd.raw", "-F", "raw")
    await expectAsQemu(at("over-odd.qcow2"), 9)
  })

  it("over a file whose format it does not name", async () => {
    await create(at("named.qcow2"), MiB, "")
    await qemuIo(at("named.qcow2"), ["write -P 7 0 1M"])
    await create(at("unnamed.qcow2"), MiB, "", "-u", "-b", "named.qcow2", "-F", "qcow2")
    const bytes = await readFile(at("unnamed.qcow2"))
    bytes.writeUInt32BE(0x0102_0304, bytes.indexOf(Buffer.from("e2792aca", "hex")))
    await writeFile(at("unnamed.qcow2"), bytes)
    const image = await openFile(at("unnamed.qcow2"))
    expect((await readDisk(image)).equals(Buffer.alloc(MiB, 7))).toBe(true)
    await image.disk.close()
  })
})

describe.skipIf(qemu.skip)(
  "a backing file that qemu was given by an absolute name, or in a spelling of its own",
  () => {
    const json = (options: object) => `json:${JSON.stringify(options)}`

    it.each([
      ["an absolute path", (path: string) => path],
      ["a path through another link to the folder", (path: string) => path.replace(folder, `${folder}-link`)],
      ["file:", (path: string) => `file:${path}`],
      ["file: and a relative name", () => "file:below.qcow2"],
      [
        "json: of a format over a file",
        (filename: string) => json({ driver: "qcow2", file: { driver: "file", filename } }),
      ],
      [
        "json: with dotted names",
        (name: string) => json({ driver: "qcow2", "file.driver": "file", "file.filename": name }),
      ],
      ["json: without drivers", (filename: string) => json({ file: { filename } })],
    ])("%s", async (_, spelled) => {
      await rm(`${folder}-link`, { force: true })
      await symlink(folder, `${folder}-link`)
      await create(at("below.qcow2"), MiB, "")
      await qemuIo(at("below.qcow2"), ["write -P 3 0 1M"])
      await create(at("over.qcow2"), MiB, "", "-b", spelled(at("below.qcow2")), "-F", "qcow2")
      await qemuIo(at("over.qcow2"), ["write -P 4 64k 64k"])
      const image = await expectAsQemu(at("over.qcow2"), 1)
      expect(image.files.map(({ path }) => path)).toEqual([at("over.qcow2"), at("below.qcow2")])
      await rm(`${folder}-link`)
    })

    it("in a chain, each named absolutely, and an external data file too", async () => {
      await mkdir(at("sub"), { recursive: true })
      await writeFile(at("sub/base.raw"), Buffer.alloc(MiB, 9))
      await create(at("sub/middle.qcow2"), MiB, "", "-b", at("sub/base.raw"), "-F", "raw")
      await create(at("top.qcow2"), MiB, `data_file=${at("sub/top.data")}`, "-b", at("sub/middle.qcow2"), "-F", "qcow2")
      await qemuIo(at("top.qcow2"), ["write -P 5 128k 64k"])
      const image = await expectAsQemu(at("top.qcow2"), 2)
      const names = ["top.qcow2", "sub/top.data", "sub/middle.qcow2", "sub/base.raw"]
      expect(image.files.map(({ path }) => path)).toEqual(names.map(at))
    })

    it("without a format beside it, by the format that json: names", async () => {
      await writeFile(at("qcow2-inside.raw"), await readFile(at("below.qcow2")))
      const name = json({ driver: "raw", file: { driver: "file", filename: at("qcow2-inside.raw") } })
      await create(at("named.qcow2"), MiB, "", "-u", "-b", name, "-F", "raw")
      const bytes = await readFile(at("named.qcow2"))
      bytes.writeUInt32BE(0x0102_0304, bytes.indexOf(Buffer.from("e2792aca", "hex")))
      await writeFile(at("named.qcow2"), bytes)
      const image = await openFile(at("named.qcow2"))
      const disk = await readDisk(image)
      expect(disk.subarray(0, 4).toString("latin1")).toBe("QFI\xfb")
      await image.disk.close()
    })
  },
)

describe.skipIf(qemu.skip)("a qcow2 file that is refused", () => {
  const refusal = (path: string) =>
    openFile(path).then(
      () => "opened",
      (error: { code: string; reason: string }) => `${error.code}: ${error.reason}`,
    )

  it("is encrypted, by either method", async () => {
    const luks = "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10"
    // qemu measures how fast it hashes, and now and then "cannot get accurate CPU usage" on a busy machine.
    for (let attempt = 0; attempt < 20; attempt++) {
      const making = create(at("luks.qcow2"), MiB, luks, "--object", "secret,id=s,data=x")
      const failed = await making.then(
        () => undefined,
        (error: Error) => error,
      )
      if (failed === undefined) break
      expect(failed.message).toContain("accurate CPU usage")
    }
    expect(await refusal(at("luks.qcow2"))).toBe("IMAGE_FORMAT_UNSUPPORTED: it is encrypted (LUKS)")
    await create(at("aes.qcow2"), MiB, "encrypt.format=aes,encrypt.key-secret=s", "--object", "secret,id=s,data=x")
    expect(await refusal(at("aes.qcow2"))).toBe("IMAGE_FORMAT_UNSUPPORTED: it is encrypted (AES)")
  })

  it("is over itself, over a file that is gone, over one elsewhere, or over something that is no file", async () => {
    const over = async (below: string) => {
      await create(at("loop.qcow2"), MiB, "", "-u", "-b", below, "-F", "qcow2")
      return refusal(at("loop.qcow2"))
    }
    expect(await over("loop.qcow2")).toBe("IMAGE_DEPENDENCY_REFUSED: it depends on itself")
    expect(await over("gone.qcow2")).toMatch(/^IMAGE_FILE_NOT_FOUND/)
    const outside = "an absolute name outside the image's folder could be any file of this server"
    for (const name of ["/etc/passwd", "file:/etc/passwd", 'json:{"driver":"raw","file.filename":"/etc/passwd"}'])
      expect(await over(name)).toBe(`IMAGE_DEPENDENCY_REFUSED: ${outside}`)
    await symlink("/etc/passwd", at("link.raw"))
    expect(await over(at("link.raw"))).toBe(`IMAGE_DEPENDENCY_REFUSED: ${outside}`)
    expect(await over(`${folder}//loop.qcow2`)).toBe("IMAGE_DEPENDENCY_REFUSED: it depends on itself")
    expect(await over(at("gone.qcow2"))).toMatch(/^IMAGE_FILE_NOT_FOUND/)
    expect(await over("nbd://localhost/x")).toBe(
      "IMAGE_DEPENDENCY_REFUSED: it is not a plain file name but a protocol's",
    )
  })

  it.each([
    ['{"driver":"qcow2"}', "does not name a file and its format"],
    ['{"driver":"qcow2","file":{"driver":"file","filename":""}}', "does not name a file and its format"],
    ['{"driver":"file","file.filename":"a"}', "does not name a file and its format"],
    ['{"filename":"a"}', 'asks for "filename", which is not known here'],
    ['{"driver":"file","filename":"a"}', 'asks for "filename", which is not known here'],
    ['{"driver":"raw","file.filename":"a","offset":512}', 'asks for "offset", which is not known here'],
    ['{"driver":"qcow2","file":"a"}', 'asks for "file", which is not known here'],
    ['{"driver":"qcow2","file":{"driver":"nbd","filename":"a"}}', 'is not of a file but of "nbd"'],
    ['{"driver":7,"file.filename":"a"}', 'has no text for "driver"'],
    ['{"file":{"filename":"a"},"file.filename":"b"}', "is not JSON"],
    ['["a"]', "is not JSON"],
    ['{"driver"', "is not JSON"],
  ])("is over json:%s", async (json, why) => {
    await create(at("json.qcow2"), MiB, "")
    const bytes = Buffer.alloc(65_536)
    ;(await readFile(at("json.qcow2"))).copy(bytes, 0, 0, 65_536)
    const name = Buffer.from(`json:${json}`)
    bytes.writeBigUInt64BE(32_768n, 8)
    bytes.writeUInt32BE(name.length, 16)
    name.copy(bytes, 32_768)
    const file = await open(at("json.qcow2"), "r+")
    await file.write(bytes, 0, 65_536, 0)
    await file.close()
    expect(await refusal(at("json.qcow2"))).toBe(`IMAGE_DEPENDENCY_REFUSED: its json: name ${why}`)
  })
})
