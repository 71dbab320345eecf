/** The demo finds every wrong byte, or its green table would mean nothing. */
import { existsSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { fillSample } from "../../adapters/cli/demo/sample.ts"
import { type DiskClient, simulate } from "../../adapters/cli/demo/simulated-client.ts"
import { makeStages, type StageRow } from "../../adapters/cli/demo/stages.ts"
import { imagelink, scratch } from "../support/cli.ts"

describe("imagelink demo", () => {
  it("drives eight clients through every stage without an error, and leaves nothing behind", async () => {
    const temporary = scratch("demo")
    const options = { env: { TMPDIR: temporary } }
    const { status, stdout, stderr } = await imagelink(["demo", "--clients", "8", "--size", "4M", "--json"], options)
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" })
    const said = JSON.parse(stdout) as { stages: ReadonlyArray<StageRow>; [key: string]: unknown }
    expect(said).toMatchObject({ clients: 8, finished: 8, imageUntouched: true, problems: [] })
    expect(said.stages.map((s) => [s.stage, s.clients, s.operations, s.errors])).toEqual([
      ["connect", 8, 8, 0],
      ["read", 8, 8 * 25, 0],
      ["write", 8, 8 * 12, 0],
      ["flush", 8, 8, 0],
      ["read back", 8, expect.any(Number), 0],
      ["reconnect", 8, 8, 0],
      ["own writes kept", 8, expect.any(Number), 0],
    ])
    expect(readdirSync(temporary)).toEqual([])
  })

  it("says in words that every byte was right, and keeps a data folder that it was given", async () => {
    const data = join(scratch("demo"), "data")
    const { status, stdout } = await imagelink(["demo", "--clients", "1", "--size", "1M"], { data })
    expect(status).toBe(0)
    expect(stdout).toContain("client import 1 client in one command: 2 events, 1 link")
    expect(stdout).toMatch(/^STAGE +CLIENTS +REQUESTS +BYTES +P50 +P95 +ERRORS$/m)
    expect(stdout).toContain("every byte was right; the image file is untouched")
    expect(existsSync(join(data, "store"))).toBe(true)
    expect((await imagelink(["links"], { data })).stdout).toContain("PC-001")
  })
})

/** A disk in memory that keeps its writes, as an overlay does, and lies where `lie` says so. */
const disks = (
  image: Buffer,
  lie: (bytes: Buffer) => { read?: (offset: number, bytes: Buffer) => void; loses?: (nth: number) => boolean },
) => {
  const bytes = Buffer.from(image)
  const lies = lie(bytes)
  let writes = 0
  const disk: DiskClient = {
    sizeBytes: bytes.length,
    async read(offset, length) {
      const answer = Buffer.from(bytes.subarray(offset, offset + length))
      lies.read?.(offset, answer)
      return answer
    },
    async write(offset, from) {
      if (!lies.loses?.(++writes)) bytes.set(from, offset)
    },
    async flush() {},
    async close() {},
  }
  return disk
}

describe("a simulated client", () => {
  const image = Buffer.alloc(1024 * 1024)
  fillSample(image, 1)
  const run = async (disk: DiskClient, open: (n: number) => DiskClient = () => disk) => {
    const stages = makeStages(() => 0)
    let opened = 0
    await simulate({ name: "PC-001", index: 0, image, stages, open: async () => open(++opened) })
    return { problems: stages.problems, errors: new Map(stages.rows(1).map((r) => [r.stage, r.errors])) }
  }

  it("counts nothing on a disk that is right", async () => {
    const { problems, errors } = await run(disks(image, () => ({})))
    expect(problems).toEqual([])
    expect([...errors.values()]).toEqual([0, 0, 0, 0, 0, 0, 0])
  })

  it("counts one flipped bit in the boot sector, once", async () => {
    let reads = 0
    const { problems, errors } = await run(
      disks(image, () => ({
        read: (offset, bytes) => {
          if (offset === 0 && ++reads === 1) bytes[511]! ^= 1
        },
      })),
    )
    expect(problems).toEqual(["read: PC-001: bytes 0 to 511 are not what they must be"])
    expect(errors.get("read")).toBe(1)
  })

  it("counts a flipped bit at the end of any read, however it is read back", async () => {
    const { errors } = await run(disks(image, () => ({ read: (_, bytes) => void (bytes[bytes.length - 1]! ^= 0x80) })))
    expect([errors.get("read"), errors.get("write"), errors.get("read back")! > 0]).toEqual([25, 0, true])
  })

  it.each([1, 12])("counts write %i of 12 when it was acknowledged and lost", async (lost) => {
    const { errors } = await run(disks(image, () => ({ loses: (nth) => nth === lost })))
    expect([errors.get("read back"), errors.get("own writes kept")]).toEqual([1, 1])
  })

  it("counts writes that are gone after a reconnect", async () => {
    const { errors } = await run(
      disks(image, () => ({})),
      () => disks(image, () => ({})),
    )
    expect(errors.get("read back")).toBe(0)
    expect(errors.get("own writes kept")).toBeGreaterThan(0)
  })

  it("counts a disk of another size", async () => {
    const { problems } = await run({ ...disks(image, () => ({})), sizeBytes: 1024 * 1024 - 512 })
    expect(problems[0]).toBe("connect: PC-001: the disk is 1048064 bytes long, the image 1048576")
  })

  it("fails where its disk does, and that is counted too", async () => {
    const stages = makeStages(() => 0)
    const broken: DiskClient = { ...disks(image, () => ({})), write: () => Promise.reject(new Error("EIO")) }
    await expect(simulate({ name: "A", index: 0, image, stages, open: async () => broken })).rejects.toThrow("EIO")
    expect(stages.problems).toEqual(["write: EIO"])
  })
})
