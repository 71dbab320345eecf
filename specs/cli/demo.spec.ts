/** The demo finds every wrong byte, or its green table would mean nothing. */
import { existsSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { BOOT_READS, bootTrace } from "../../adapters/cli/demo/boot-trace.ts"
import { diskOf, powerOn } from "../../adapters/cli/demo/power-on.ts"
import { fillSample } from "../../adapters/cli/demo/sample.ts"
import { simulate } from "../../adapters/cli/demo/simulated-client.ts"
import { makeStages, type StageRow } from "../../adapters/cli/demo/stages.ts"
import type { DiskClient, Wires } from "../../adapters/cli/demo/wires.ts"
import { compactTrace } from "../support/boot-trace.ts"
import { imagelink, scratch } from "../support/cli.ts"

describe("imagelink demo", () => {
  it("drives eight clients through every stage without an error, and leaves nothing behind", async () => {
    const temporary = scratch("demo")
    const options = { env: { TMPDIR: temporary } }
    const asked = ["demo", "--clients", "8", "--size", "4M", "--reads", "50", "--json"]
    const { status, stdout, stderr } = await imagelink(asked, options)
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" })
    const said = JSON.parse(stdout) as { stages: ReadonlyArray<StageRow>; [key: string]: unknown }
    expect(said).toMatchObject({ clients: 8, finished: 8, imageUntouched: true, problems: [] })
    expect(said.stages.map((s) => [s.stage, s.clients, s.operations, s.errors])).toEqual([
      ["dhcp", 8, 8, 0],
      ["tftp", 8, 8, 0],
      ["ipxe dhcp", 8, 8, 0],
      ["script", 8, 8, 0],
      ["login", 8, 8, 0],
      ["boot reads", 8, 8 * 50, 0],
      ["write", 8, 8 * 12, 0],
      ["flush", 8, 8, 0],
      ["read back", 8, expect.any(Number), 0],
      ["login again", 8, 8, 0],
      ["own writes kept", 8, expect.any(Number), 0],
    ])
    expect(readdirSync(temporary)).toEqual([])
  })

  it("says in words that every byte was right, and keeps a data folder that it was given", async () => {
    const data = join(scratch("demo"), "data")
    const asked = ["demo", "--clients", "1", "--size", "1M", "--reads", "1"]
    const { status, stdout } = await imagelink(asked, { data })
    expect(status).toBe(0)
    expect(stdout).toContain("client import 1 client in one command: 2 events, 1 link")
    expect(stdout).toMatch(/^STAGE +CLIENTS +REQUESTS +BYTES +P50 +P99 +ERRORS$/m)
    expect(stdout).toContain("1 boot recorded with every stage from DHCP offer to first read")
    expect(stdout).toContain("super client  PC-001 booted sample@1, changed it and was shut down")
    expect(stdout).toContain(
      "image commit  sample@2, sealed from what PC-001 wrote; PC-001 boots it and finds the update",
    )
    expect(stdout).toContain("rollback      sample@1 is current again; PC-001 boots it and finds what was there")
    expect(stdout).toContain("every byte was right; the image file is untouched")
    expect(existsSync(join(data, "store"))).toBe(true)
    expect((await imagelink(["links"], { data })).stdout).toContain("PC-001")
    const boots = (await imagelink(["boots"], { data })).stdout
    expect(boots).toMatch(/^\S+ \S+ {2}PC-001 {2}sample@1 {2}discard {2}127\.77\.0\.10 {2}iscsi {2}UEFI x64$/m)
    expect(boots).toMatch(/: offer \d+ ms, tftp \d.*, ipxe \d.*, script \d.*, login \d.*, first read \d/)
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
  const trace = bootTrace(image.length).slice(0, 25)
  const run = async (disk: DiskClient, again = disk) => {
    const stages = makeStages(() => 0)
    await simulate({ name: "PC-001", index: 0, image, trace, stages, disk, again: async () => again })
    return { problems: stages.problems, errors: new Map(stages.rows(1).map((r) => [r.stage, r.errors])) }
  }

  it("counts nothing on a disk that is right", async () => {
    const { problems, errors } = await run(disks(image, () => ({})))
    expect(problems).toEqual([])
    expect([...errors.values()]).toEqual([0, 0, 0, 0, 0, 0])
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
    expect(problems).toEqual(["boot reads: PC-001: bytes 0 to 511 are not what they must be"])
    expect(errors.get("boot reads")).toBe(1)
  })

  it("counts a flipped bit at the end of any read, however it is read back", async () => {
    const { errors } = await run(disks(image, () => ({ read: (_, bytes) => void (bytes[bytes.length - 1]! ^= 0x80) })))
    expect([errors.get("boot reads"), errors.get("write"), errors.get("read back")! > 0]).toEqual([25, 0, true])
  })

  it.each([1, 12])("counts write %i of 12 when it was acknowledged and lost", async (lost) => {
    const { errors } = await run(disks(image, () => ({ loses: (nth) => nth === lost })))
    expect([errors.get("read back"), errors.get("own writes kept")]).toEqual([1, 1])
  })

  it("counts writes that are gone after a reconnect", async () => {
    const { errors } = await run(
      disks(image, () => ({})),
      disks(image, () => ({})),
    )
    expect(errors.get("read back")).toBe(0)
    expect(errors.get("own writes kept")).toBeGreaterThan(0)
  })

  it("counts a disk of another size", async () => {
    const { problems } = await run({ ...disks(image, () => ({})), sizeBytes: 1024 * 1024 - 512 })
    expect(problems[0]).toBe("login: PC-001: the disk is 1048064 bytes long, the image 1048576")
  })

  it("fails where its disk does, and that is counted too", async () => {
    const stages = makeStages(() => 0)
    const broken: DiskClient = { ...disks(image, () => ({})), write: () => Promise.reject(new Error("EIO")) }
    const again = async () => broken
    const simulated = simulate({ name: "A", index: 0, image, trace, stages, disk: broken, again })
    await expect(simulated).rejects.toThrow("EIO")
    expect(stages.problems).toEqual(["write: EIO"])
  })
})

describe("the reads of a boot", () => {
  it("are those of the recorded one, on the clusters that it touched", () => {
    expect(bootTrace(64 * 2 ** 20)).toEqual(compactTrace().reads)
    expect(bootTrace(64 * 2 ** 20)).toHaveLength(BOOT_READS)
  })

  it("lie on the disk, however small that is", () => {
    for (const size of [2 ** 20, 4 * 2 ** 20, 48 * 2 ** 20])
      for (const { offset, length } of bootTrace(size)) {
        expect(offset >= 0 && length > 0 && offset + length <= size).toBe(true)
        expect([offset % 512, length % 512]).toEqual([0, 0])
      }
  })
})

describe("a simulated PC that is switched on", () => {
  const script =
    "#!ipxe\nset initiator-iqn iqn.x:pc\nsanboot iscsi:127.0.0.1::3261:a:iqn.y:pc-001:boot || goto failed\n"
  const program = Buffer.from("program")
  const bootWith = async (more: Partial<Wires>) => {
    const stages = makeStages(() => 0)
    const wires: Wires = {
      dhcp: async (_, as) => ({ address: "127.77.0.10", file: as === "ipxe" ? "http://x" : "snponly.efi" }),
      tftp: async () => program,
      http: async () => script,
      disk: async () => disks(Buffer.alloc(4096), () => ({})),
      close: async () => {},
      ...more,
    }
    await powerOn({ name: "PC-001", mac: "52:54:00:00:00:01" }, wires, stages, program).catch(() => {})
    return stages.problems
  }

  it("opens the disk that its script names, from its own address", async () => {
    expect(diskOf(script)).toEqual({
      host: "127.0.0.1",
      port: 3261,
      lun: 10,
      target: "iqn.y:pc-001:boot",
      initiator: "iqn.x:pc",
    })
    expect(diskOf(script.replace("3261:a", ":"))).toMatchObject({ port: 3260, lun: 0 })
    expect(diskOf("#!ipxe\nexit\n")).toBeUndefined()
    expect(await bootWith({})).toEqual([])
  })

  it("finds another boot program, another address as iPXE, and a script without a disk", async () => {
    expect(await bootWith({ tftp: async () => Buffer.from("Program") })).toEqual([
      "tftp: PC-001: snponly.efi has other bytes",
    ])
    let asked = 0
    const moved = async () => ({ address: `127.77.0.${++asked}`, file: "" })
    expect(await bootWith({ dhcp: moved })).toEqual(["ipxe dhcp: PC-001: it was given 127.77.0.2, after 127.77.0.1"])
    expect(await bootWith({ http: async () => "#!ipxe\nexit\n" })).toEqual([
      "script: PC-001: its script opens no disk: #!ipxe\nexit\n",
    ])
  })
})
