/** Canaries of the mutations: formats that believe one number too many, and must be caught. */
import { expect, it } from "vitest"
import type { DiskFormat, FormatDisk } from "../../core/storage/format.ts"
import type { Volume } from "../../core/storage/volume.ts"
import { mutateRounds } from "./mutate.ts"

/** One number says where the disk begins in the file; `reads` decides how far that is believed. */
const format = (open: (volume: Volume, at: number) => Promise<Partial<FormatDisk>>): DiskFormat => ({
  apiVersion: 1,
  format: "canary",
  probe: () => ({ match: "no" }),
  async open(volume) {
    const header = Buffer.alloc(8)
    await volume.read(header, 0, 0, Math.min(8, volume.sizeBytes))
    const read: Volume["read"] = async (into, at, _offset, length) => void into.fill(0, at, at + length)
    const close = () => volume.close()
    return { sizeBytes: 4096, dependsOn: [], read, close, ...(await open(volume, header.readUInt32BE(0))) }
  },
})
const samples = [{ name: "eight bytes", files: { a: new Uint8Array(8192) }, hot: { a: [[0, 8] as const] } }]

it.each<readonly [string, DiskFormat, RegExp]>([
  ["nothing wrong", format(async () => ({})), /^fine$/],
  [
    "reads where the file says",
    format(async (volume, at) => ({ read: (into, to, offset, length) => volume.read(into, to, at + offset, length) })),
    /seed 1, round \d+, eight bytes: .*outside the disk/s,
  ],
  [
    "loops as often as the file says",
    format(async (volume, at) => {
      for (let i = 0; i < at; i++) await volume.read(new Uint8Array(1), 0, 0, 1)
      return {}
    }),
    /20001 reads/,
  ],
  [
    "throws an error of its own",
    format(async (_, at) => {
      if (at > 1000) throw new TypeError("at is undefined")
      return {}
    }),
    /TypeError: at is undefined/,
  ],
  [
    "answers a size that is none",
    format(async (_, at) => (at > 1000 ? { sizeBytes: -at } : {})),
    /PLUGIN_BROKE_CONTRACT|not a whole number/,
  ],
])("%s", async (_, broken, says) => {
  const outcome = await mutateRounds(broken, samples, 1, 200).then(
    () => "fine",
    (thrown: Error) => thrown.message,
  )
  expect(outcome).toMatch(says)
})
