/** curl and the independent package tftp2 fetch from a real `imagelink serve`, and so does our own client. */
import { execFile, spawnSync } from "node:child_process"
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { fetchTftp } from "../../adapters/tftp/client.ts"
import { imagelink, refusal, type Served, scratch, startServe } from "../support/cli.ts"
import { patterned } from "../support/random.ts"
import { requires, skipAloud } from "../support/requires.ts"

const curl = requires("curl", "curl")
const curlTftp = curl.skip
  ? curl
  : / tftp( |$)/m.test(spawnSync("curl", ["-V"], { encoding: "utf8" }).stdout)
    ? { skip: false, reason: "" }
    : skipAloud("tftp-curl.spec.ts", "needs a curl that speaks tftp (Debian package curl)")

const folder = scratch("tftp")
const data = join(folder, "data")
const boot = join(data, "boot")
const large = patterned(5_000_000, 1)
const odd = patterned(100_001, 2)
let server: Served
let at: { readonly host: string; readonly port: number }

beforeAll(async () => {
  mkdirSync(join(boot, "ipxe"), { recursive: true })
  writeFileSync(join(boot, "large.bin"), large)
  writeFileSync(join(boot, "ipxe", "odd.efi"), odd)
  writeFileSync(join(boot, "even.bin"), large.subarray(0, 1024))
  writeFileSync(join(boot, "empty"), "")
  writeFileSync(join(folder, "secret"), "not served")
  symlinkSync("../../secret", join(boot, "leak"))
  server = await startServe(data, ["--tftp-port", "0", "--nbd-port", "off"])
  const [host = "", port] = server.listeners.tftp!.split(":")
  at = { host, port: Number(port) }
})
afterAll(async () => {
  expect(await server.stop()).toBe(0)
})

const fetchByCurl = (name: string, ...options: ReadonlyArray<string>): Promise<{ code: number; bytes: Buffer }> =>
  new Promise((resolve) => {
    const out = join(folder, `got-${name.replaceAll(/\W/g, "-")}`)
    const args = ["-s", "--max-time", "30", ...options, "-o", out, `tftp://${at.host}:${at.port}/${name}`]
    execFile("curl", args, (e) =>
      resolve({ code: e === null ? 0 : Number(e.code), bytes: e === null ? readFileSync(out) : Buffer.alloc(0) }),
    )
  })

describe.skipIf(curlTftp.skip)("curl", () => {
  it("fetches 5 MB with blocks of 1468 bytes, and it is the file", async () => {
    const { code, bytes } = await fetchByCurl("large.bin", "--tftp-blksize", "1468")
    expect([code, bytes.equals(large)]).toEqual([0, true])
  })
  it("fetches without options, from a folder below, a whole number of blocks and nothing", async () => {
    const odds = await fetchByCurl("ipxe/odd.efi", "--tftp-no-options")
    expect([odds.code, odds.bytes.equals(odd)]).toEqual([0, true])
    expect((await fetchByCurl("even.bin")).bytes.equals(large.subarray(0, 1024))).toBe(true)
    // With options it would ask tsize, and it takes the right answer for an empty file, 0, to be an invalid one.
    expect((await fetchByCurl("empty", "--tftp-no-options")).code).toBe(0)
  })
  it("is told what is not there (68), not for it (69), and that nothing is taken (69)", async () => {
    expect((await fetchByCurl("none")).code).toBe(68)
    expect((await fetchByCurl("leak")).code).toBe(69)
    expect((await fetchByCurl("..%2f..%2fsecret", "--path-as-is")).code).toBe(69)
    expect((await fetchByCurl("new", "-T", join(folder, "secret"))).code).toBe(69)
  })
})

describe("the package tftp2's client", () => {
  it("fetches a file without options", async () => {
    const tftp = createRequire(import.meta.url)("tftp2") as (
      host: string,
      port: number,
    ) => { read(file: string, push: (b: Buffer) => void, done: () => void): Promise<void>; close(): void }
    const client = tftp(at.host, at.port)
    const parts: Array<Buffer> = []
    try {
      await client.read(
        "ipxe/odd.efi",
        (b) => void parts.push(b),
        () => {},
      )
    } finally {
      client.close()
    }
    expect(Buffer.concat(parts).equals(odd)).toBe(true)
  })
})

describe("a server of boot files", () => {
  it("serves our own client in windows, and with a name as Windows' loaders write it", async () => {
    const fetched = await fetchTftp({ ...at, file: "large.bin", blksize: 1468, windowsize: 16, tsize: true })
    expect(fetched.bytes.equals(large)).toBe(true)
    expect(fetched.answers).toEqual([
      ["blksize", "1468"],
      ["windowsize", "16"],
      ["tsize", "5000000"],
    ])
    expect((await fetchTftp({ ...at, file: "\\ipxe\\odd.efi" })).bytes.equals(odd)).toBe(true)
  })

  it("is not there unless it is asked for", async () => {
    const silent = await startServe(join(folder, "other"))
    expect(Object.keys(silent.listeners)).toEqual(["nbd", "control"])
    expect(await silent.stop()).toBe(0)
  })

  it("is refused a folder that is none, and a port that is taken", async () => {
    const dir = join(folder, "third")
    const none = await imagelink(["serve", "--tftp-port", "0", "--boot-files", join(folder, "no"), "--json"], {
      data: dir,
    })
    expect([none.status, refusal(none).code]).toEqual([2, "CONFIG_INVALID"])
    const taken = ["serve", "--tftp-port", `${at.port}`, "--boot-files", boot, "--nbd-port", "0", "--json"]
    const refused = refusal(await imagelink(taken, { data: dir }))
    expect([refused.code, refused.fix]).toEqual([
      "PORT_IN_USE",
      `find it with 'ss -lunp sport = :${at.port}' and stop it, or choose another: --tftp-port N`,
    ])
  })
})
