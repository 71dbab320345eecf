import { expect, it } from "vitest"
import { computeChecksums, decodeChecksums, encodeChecksums, verifierOf } from "../../core/block/checksums.ts"
import { MemoryVolume } from "../support/memory-volume.ts"
import { patterned } from "../support/random.ts"

const C = 65_536
const imageId = "01234567-89ab-4cde-8f01-23456789abcd"
const sample = () => ({ imageId, version: 3, sizeBytes: C + 512, table: Uint32Array.from([0xdeadbeef, 1]) })

it("computes CRC-32C of each 64 KiB, the last one padded with zeros", async () => {
  // Computed bit by bit with another program, which gives 0xe3069283 for "123456789", the check value of CRC-32C.
  const volume = new MemoryVolume(2 * C + 512)
  volume.put(Buffer.from("123456789"), 0, C, 9)
  const table = await computeChecksums({ sizeBytes: volume.sizeBytes, read: (i, a, o, l) => volume.read(i, a, o, l) })
  expect([...table]).toEqual([0x72c0c4a4, 0xd14be801, 0x72c0c4a4])
})

it("gives the same table whether the volume tells its zeros or not, and does not read what it tells", async () => {
  const sizeBytes = 70 * C + 512
  const volume = new MemoryVolume(sizeBytes)
  for (const offset of [0, 17 * C + 4096, 69 * C, 70 * C]) volume.put(patterned(512, offset), 0, offset, 512)
  const blind = await computeChecksums({ sizeBytes, read: (i, a, o, l) => volume.read(i, a, o, l) })
  const readsBlind = volume.counts.read
  const knowing = await computeChecksums(volume)
  expect(knowing).toEqual(blind)
  expect(readsBlind).toBe(5)
  const empty = new MemoryVolume(sizeBytes)
  await computeChecksums(empty)
  expect(empty.counts.read).toBe(0)
})

it("reports progress to the last byte, and stops when it is told to", async () => {
  const volume = MemoryVolume.of(patterned(33 * C + 512, 1))
  const seen: Array<number> = []
  await computeChecksums(volume, { onProgress: (done) => seen.push(done) })
  expect(seen).toEqual([16 * C, 32 * C, 33 * C + 512])
  await expect(computeChecksums(volume, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "CANCELLED" })
})

it("verifies a cluster against its own entry", async () => {
  const bytes = patterned(2 * C, 4)
  const verify = verifierOf({ table: await computeChecksums(MemoryVolume.of(bytes)) })
  expect(verify(0, bytes.subarray(0, C))).toBe(true)
  expect(verify(1, bytes.subarray(0, C))).toBe(false)
  expect(verify(2, bytes.subarray(0, C))).toBe(false)
})

it("writes the drawn layout and reads it back", () => {
  const bytes = Buffer.from(encodeChecksums(sample()))
  expect(bytes.length).toBe(88 + 8 + 4)
  expect(bytes.toString("latin1", 0, 8)).toBe("ILCRC32C")
  expect(bytes.subarray(8, 24).toString("hex")).toBe("00000001000000000000000000000000")
  expect(bytes.toString("latin1", 24, 60)).toBe(imageId)
  expect(bytes.subarray(60, 84).toString("hex")).toBe("00000003000100000000000000010200" + "0000000000000002")
  expect(bytes.subarray(88, 96).toString("hex")).toBe("deadbeef00000001")
  expect(decodeChecksums(bytes)).toEqual({ ok: true, checksums: sample() })
})

it("believes no file with any one byte changed, cut or added", () => {
  const good = encodeChecksums(sample())
  for (let i = 0; i < good.length; i++) {
    const bad = Uint8Array.from(good)
    bad[i]! ^= 0x10
    expect(decodeChecksums(bad).ok, `byte ${i}`).toBe(false)
    expect(decodeChecksums(good.subarray(0, i)).ok, `first ${i} bytes`).toBe(false)
  }
  expect(decodeChecksums(Buffer.concat([good, Buffer.alloc(1)])).ok).toBe(false)
})
