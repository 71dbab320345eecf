/**
 * One disk, read by us and by qemu: every byte by `qemu-img convert`, and random ranges by `qemu-io`.
 *
 * **Details** Our side goes the whole way of an added image: the file plugin, probing among all installed formats, both guards.
 */
import { readFile, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { expect } from "vitest"
import { linuxHost } from "../../adapters/host/linux.ts"
import { type OpenedImage, openImageFile } from "../../core/storage/open-image.ts"
import { PluginRegistry } from "../../core/storage/registry.ts"
import file from "../../plugins/file/index.ts"
import raw from "../../plugins/formats/raw/index.ts"
import vhd from "../../plugins/formats/vhd/index.ts"
import vhdx from "../../plugins/formats/vhdx/index.ts"
import vmdk from "../../plugins/formats/vmdk/index.ts"
import { run } from "./nbd-server.ts"
import { patterned, random } from "./random.ts"

const plugins = [file, raw, vhd, vhdx, vmdk].reduce(
  (registry, plugin) => registry.add(plugin, "own"),
  new PluginRegistry(),
)

export const openPath = (path: string): Promise<OpenedImage> =>
  openImageFile({
    location: { kind: "file", config: { path } },
    plugins,
    formats: plugins.formats,
    host: linuxHost(),
    signal: new AbortController().signal,
  })

/** Random bytes with holes of every length, from one sector up, and runs that cross every block size in use. */
export const holed = (sizeBytes: number, seed: number): Buffer => {
  const r = random(seed)
  const bytes = patterned(sizeBytes, seed)
  for (let at = 0; at < sizeBytes; ) {
    const length = 512 * (1 + r.int(r.pick([1, 8, 128, 1024, 6000])))
    if (r.chance(0.5)) bytes.fill(0, at, Math.min(sizeBytes, at + length))
    at += length
  }
  return bytes
}

/** Makes `name` in `folder` out of a raw disk, as qemu-img does with these options. */
export const convertFrom = async (
  bytes: Uint8Array,
  folder: string,
  name: string,
  format: string,
  ...options: ReadonlyArray<string>
): Promise<string> => {
  const [source, path] = [join(folder, `${name}.source`), join(folder, name)]
  await writeFile(source, bytes)
  const chosen = options.flatMap((o) => ["-o", o])
  await run("qemu-img", "convert", "-f", "raw", "-O", format, ...chosen, source, path)
  await rm(source)
  return path
}

export interface SameAsQemu {
  readonly path: string
  /** qemu's name of the format, and ours. */
  readonly qemu: string
  readonly format: string
  readonly seed: number
  /** Too large to be converted whole: only ranges are compared. */
  readonly large?: boolean
}

/** Expects our reading of an image to be qemu's, byte for byte; answers the disk's bytes unless it is large. */
export const expectSameAsQemu = async ({ path, qemu, format, seed, large }: SameAsQemu): Promise<Buffer> => {
  const info = JSON.parse(await run("qemu-img", "info", "--output=json", "-f", qemu, path))
  const image = await openPath(path)
  try {
    expect([image.format, image.sizeBytes]).toEqual([format, info["virtual-size"]])
    await expectSameRanges(image, path, qemu, seed)
    if (large) return Buffer.alloc(0)
    const converted = `${path}.converted`
    await run("qemu-img", "convert", "-f", qemu, "-O", "raw", path, converted)
    const theirs = await readFile(converted)
    await rm(converted)
    const ours = await wholeDisk(image)
    expect(firstDifference(ours, theirs)).toBe("none")
    await expectTrueExtents(image, theirs)
    return ours
  } finally {
    await image.disk.close()
  }
}

const wholeDisk = async ({ disk, sizeBytes }: OpenedImage): Promise<Buffer> => {
  const bytes = Buffer.alloc(sizeBytes, 0xee)
  const step = 1_000_000
  for (let at = 0; at < sizeBytes; at += step) await disk.read(bytes, at, at, Math.min(step, sizeBytes - at))
  return bytes
}

const expectTrueExtents = async ({ disk, sizeBytes }: OpenedImage, bytes: Buffer): Promise<void> => {
  for (let at = 0; at < sizeBytes; )
    for (const { length, kind } of await disk.extents(at, sizeBytes - at, 100)) {
      if (kind !== "data") expect(bytes.subarray(at, at + length).every((b) => b === 0)).toBe(true)
      at += length
    }
}

export const firstDifference = (ours: Uint8Array, theirs: Uint8Array): string => {
  if (Buffer.compare(ours, theirs) === 0) return "none"
  const at = ours.findIndex((byte, i) => byte !== theirs[i])
  return `byte ${at} is ${ours[at]}, not ${theirs[at]} (${ours.length} and ${theirs.length} bytes)`
}

/** Forty ranges: at random, at both ends, and round every 64 KiB and 2 MiB boundary that the seed picks. */
const expectSameRanges = async ({ disk, sizeBytes }: OpenedImage, path: string, qemu: string, seed: number) => {
  const r = random(seed)
  const sectors = sizeBytes / 512
  const ranges = Array.from({ length: 40 }, (_, i) => {
    const length = 512 * (1 + r.int(Math.min(8, sectors)))
    const unit = r.pick([1, 128, 4096])
    const near = Math.floor(r.int(sectors) / unit) * unit - r.int(4)
    const sector = i === 0 ? 0 : i === 1 ? sectors : near
    return [Math.max(0, Math.min(sector * 512, sizeBytes - length)), length] as const
  })
  const said = await run(
    "qemu-io",
    "-r",
    "-f",
    qemu,
    ...ranges.flatMap(([at, n]) => ["-c", `read -v ${at} ${n}`]),
    path,
  )
  const theirs = hexDumps(said)
  expect(theirs.length).toBe(ranges.length)
  for (const [i, [offset, length]] of ranges.entries()) {
    const ours = Buffer.alloc(length, 0xee)
    await disk.read(ours, 0, offset, length)
    expect(`${offset}+${length}: ${firstDifference(ours, theirs[i]!)}`).toBe(`${offset}+${length}: none`)
  }
}

/** `00000000:  0f 1a …  ascii`, sixteen bytes a line, closed by a line that counts them. */
const hexDumps = (said: string): ReadonlyArray<Buffer> => {
  const dumps: Array<Buffer> = []
  let bytes: Array<string> = []
  for (const line of said.split("\n")) {
    const dumped = /^[0-9a-f]{8,}: {2}((?:[0-9a-f]{2} ){1,16})/.exec(line)
    if (dumped !== null) bytes.push(dumped[1]!)
    else if (/^read \d+\/\d+ bytes/.test(line)) {
      dumps.push(Buffer.from(bytes.join("").replaceAll(" ", ""), "hex"))
      bytes = []
    }
  }
  return dumps
}
