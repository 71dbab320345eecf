/** `serve` with its iSCSI listener: disks through the whole stack, reservations and writes across a killed server, CHAP from a file. */
import { chmodSync, closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { blockCdb, connectIscsi, discoverIscsi, type IscsiClient } from "../../../adapters/iscsi/client.ts"
import { imagelink, refusal, type Served, startServe } from "../../support/cli.ts"
import { until } from "../../support/iscsi-server.ts"

const target = "iqn.2026-11.io.imagelink:pc-001"
const MiB = 2 ** 20
const isid = Buffer.from("00023d000001", "hex")
let folder: string
let data: string
const servers: Array<Served> = []
const told = async (args: ReadonlyArray<string>) => {
  const { status, stderr } = await imagelink(args, { data })
  expect(status, stderr).toBe(0)
}
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "imagelink-iscsi-"))
  data = join(folder, "data")
  const disk = join(folder, "disk.raw")
  writeFileSync(disk, Buffer.alloc(4 * MiB, 0xa5))
  await told(["image", "add", "win11", disk])
  for (const n of [1, 2]) {
    await told(["client", "add", `52:54:00:00:00:0${n}`, "--name", `PC-00${n}`])
    await told(["client", "link", `PC-00${n}`, "win11"])
  }
})
afterEach(async () => {
  for (const server of servers.splice(0)) await server.kill("SIGKILL")
  rmSync(folder, { recursive: true, force: true })
})

const serve = async (...args: ReadonlyArray<string>) => {
  const server = await startServe(data, ["--nbd-port", "off", "--iscsi-port", "0", ...args])
  servers.push(server)
  return { ...server, port: Number(server.listeners.iscsi?.split(":").at(-1)) }
}
const login = (port: number, name = target): Promise<IscsiClient> =>
  connectIscsi({ host: "127.0.0.1", port, target: name, isid })

describe("served disks", () => {
  it("are listed, read from their image and keep what each client wrote to itself", async () => {
    const { port } = await serve()
    expect((await discoverIscsi("127.0.0.1", port)).map((t) => t.name)).toEqual([
      target,
      "iqn.2026-11.io.imagelink:pc-002",
    ])
    const [one, two] = [await login(port), await login(port, "iqn.2026-11.io.imagelink:pc-002")]
    expect(await one.sizeBytes()).toBe(4 * MiB)
    await one.write(0, Buffer.alloc(4096, 1))
    expect((await one.read(0, 8192)).subarray(4094, 4098)).toEqual(Buffer.from([1, 1, 0xa5, 0xa5]))
    expect(await two.read(0, 512)).toEqual(Buffer.alloc(512, 0xa5))
    await one.logout()
    await two.logout()
  })

  it("lose no acknowledged write and no kept reservation when the server is killed", async () => {
    const first = await serve()
    const writer = await login(first.port)
    await writer.good({ cdb: [0] })
    const register = Buffer.alloc(24)
    register.writeBigUInt64BE(7n, 8)
    register[20] = 1
    await writer.good({ cdb: [0x5f, 0, 0, 0, 0, 0, 0, 0, 24], writes: register })
    let acknowledged = 0
    const dying = (async () => {
      for (let i = 0; i < 1000; i++) {
        await writer.write(i * 4096, Buffer.alloc(4096, (i % 255) + 1))
        acknowledged = i + 1
        if (acknowledged === 300) void first.kill("SIGKILL")
      }
    })()
    await expect(dying).rejects.toThrow()
    const { port } = await serve()
    const again = await login(port)
    for (let i = 0; i < acknowledged; i++)
      expect((await again.read(i * 4096, 512))[0], `block ${i} of ${acknowledged}`).toBe((i % 255) + 1)
    const keys = await again.good({ cdb: [0x5e, 0, 0, 0, 0, 0, 0, 0, 64], reads: 64 })
    expect(keys.data.readUInt32BE(4)).toBe(8)
    const other = await login(port, "iqn.2026-11.io.imagelink:pc-002")
    expect(await other.read(0, 512)).toEqual(Buffer.alloc(512, 0xa5))
    expect((await other.good({ cdb: [0x5e, 0, 0, 0, 0, 0, 0, 0, 64], reads: 64 })).data.readUInt32BE(4)).toBe(0)
  })

  it("that are linked while a session runs are told to it, and are its client's own", async () => {
    const { port } = await serve()
    const client = await login(port)
    await client.good({ cdb: [0] })
    await told(["client", "link", "PC-001", "win11", "--slot", "1"])
    const asked = async () => (await client.command({ cdb: [0] })).sense?.readUInt16BE(12)
    let last = await asked()
    for (let i = 0; i < 600 && last === undefined; i++) {
      await new Promise((r) => setTimeout(r, 50))
      last = await asked()
    }
    expect(last).toBe(0x3f0e)
    await client.command({ cdb: [0], lun: 1 })
    await client.good({ cdb: blockCdb(0x8a, 0, 512), writes: Buffer.alloc(512, 7), lun: 1 })
    expect((await client.good({ cdb: blockCdb(0x88, 0, 512), reads: 512, lun: 1 })).data).toEqual(Buffer.alloc(512, 7))
    expect(await client.read(0, 512)).toEqual(Buffer.alloc(512, 0xa5))
  })

  it("that are elsewhere are asked for there: a server that is taken out of use sends initiators on", async () => {
    const args = ["serve", "--nbd-port", "off", "--iscsi-port", "3260", "--iscsi-moved", "127.0.0.1", "--json"]
    expect(refusal(await imagelink(args, { data }))).toMatchObject({ code: "CONFIG_INVALID" })
    const { port, stderr } = await serve("--iscsi-redirect", "PC-001=10.0.0.2", "--iscsi-moved", "10.0.0.3:3261")
    await expect(login(port)).rejects.toMatchObject({ status: 0x0101, movedTo: "10.0.0.2:3260" })
    const other = login(port, "iqn.2026-11.io.imagelink:pc-002")
    await expect(other).rejects.toMatchObject({ status: 0x0102, movedTo: "10.0.0.3:3261" })
    expect((await discoverIscsi("127.0.0.1", port)).flatMap((t) => t.addresses)).toEqual([
      "10.0.0.2:3260,1",
      "10.0.0.3:3261,1",
    ])
    expect(stderr()).toMatch(/was sent from iqn\.2026-11\.io\.imagelink:pc-001 to 10\.0\.0\.2:3260 with 0101/u)
  })

  it("of a super client take the password that its boot script says, and no other boot's", async () => {
    await told(["client", "set-super", "PC-001", "win11"])
    const server = await serve("--http-port", "0")
    const script = async () => {
      const text = await (await fetch(`http://${server.listeners.http}/boot/52-54-00-00-00-01.ipxe`)).text()
      const said = (pattern: RegExp) => pattern.exec(text)?.[1] ?? ""
      const secret = Buffer.from(said(/^set password (\S+)$/mu))
      return {
        target: said(/(iqn\.2026-11\.io\.imagelink:pc-001:\S+)/u),
        chap: { user: said(/^set username (\S+)$/mu), secret, algorithms: "5" },
      }
    }
    const [one, two] = [await script(), await script()]
    const at = { host: "127.0.0.1", port: server.port }
    await expect(connectIscsi({ ...at, target: one.target, chap: two.chap })).rejects.toMatchObject({ status: 0x0201 })
    const client = await connectIscsi({ ...at, target: one.target, chap: one.chap })
    expect(await client.sizeBytes()).toBe(4 * MiB)
    await until(() => server.stderr().includes("(CHAP pc-001) opened"), "the log names the user")
    expect(server.stderr()).not.toContain(one.chap.secret.toString())
  })

  it("that are full refuse what is new with 27h/07h, take what is written over, and keep what they have", async () => {
    const { port } = await serve("--overlay-quota", "64K")
    const client = await login(port)
    const written = Buffer.alloc(64 * 1024, 1)
    await client.write(0, written)
    const { status, sense } = await client.command({ cdb: blockCdb(0x8a, MiB, 4096), writes: Buffer.alloc(4096, 2) })
    expect([status, sense![2], sense!.readUInt16BE(12)]).toEqual([2, 7, 0x2707])
    await client.write(4096, Buffer.alloc(4096, 3))
    written.fill(3, 4096, 8192)
    expect(await client.read(0, written.length)).toEqual(written)
    expect(await client.read(MiB, 4096)).toEqual(Buffer.alloc(4096, 0xa5))
  })

  it("of an image with a damaged cluster tell which block cannot be read, and read on everywhere else", async () => {
    await told(["image", "check", "win11"])
    const { port } = await serve()
    const client = await login(port)
    expect(await client.read(0, 512)).toEqual(Buffer.alloc(512, 0xa5))
    const file = openSync(join(folder, "disk.raw"), "r+")
    writeSync(file, Buffer.from([0]), 0, 1, 2 * MiB + 70_000)
    closeSync(file)
    const lba = (2 * MiB + 65_536) / 512
    const { status, sense } = await client.command({ cdb: blockCdb(0x88, lba * 512, 4096), reads: 4096 })
    expect([status, sense![0], sense![2], sense!.readUInt32BE(3), sense!.readUInt16BE(12)]).toEqual([
      2,
      0xf0,
      3,
      lba,
      0x1100,
    ])
    expect(await client.read(2 * MiB, 65_536)).toEqual(Buffer.alloc(65_536, 0xa5))
    expect(await client.read(2 * MiB + 131_072, 4096)).toEqual(Buffer.alloc(4096, 0xa5))
  })

  it("of an image that is gone are not ready, and the log says what to do", async () => {
    const server = await serve()
    rmSync(join(folder, "disk.raw"))
    const client = await login(server.port)
    expect((await client.command({ cdb: [0] })).sense?.subarray(2, 3)).toEqual(Buffer.from([2]))
    await expect
      .poll(() => server.stderr(), { timeout: 10_000 })
      .toMatch(/LUN 0 is not ready: .*\[IMAGE_FILE_NOT_FOUND\].*; fix: put the file back/u)
  })

  it("ask for the secrets of a file, which is its owner's alone", async () => {
    const file = join(folder, "secrets.toml")
    writeFileSync(file, '[[chap]]\nclient = "PC-001"\nuser = "pc-001"\nsecret = "sixteen letters!"\n')
    chmodSync(file, 0o644)
    const args = ["serve", "--nbd-port", "off", "--iscsi-port", "0", "--iscsi-secrets", file, "--json"]
    expect(refusal(await imagelink(args, { data }))).toMatchObject({ code: "CONFIG_INVALID" })
    chmodSync(file, 0o600)
    const server = await serve("--iscsi-secrets", file)
    await expect(login(server.port)).rejects.toMatchObject({ status: 0x0201 })
    const chap = { user: "pc-001", secret: Buffer.from("sixteen letters!") }
    const client = await connectIscsi({ host: "127.0.0.1", port: server.port, target, chap })
    expect(await client.sizeBytes()).toBe(4 * MiB)
    await login(server.port, "iqn.2026-11.io.imagelink:pc-002")
    await expect
      .poll(() => server.stderr(), { timeout: 10_000 })
      .toMatch(/refused iqn\.2026-11\.io\.imagelink:pc-001 with 0201/u)
    expect(server.stderr()).not.toContain("sixteen")
  })
})
