/** A running server that reads its settings again, by SIGHUP and by `config reload`: what changes under it, what waits, and a broken file that changes nothing. */
import { execFileSync } from "node:child_process"
import { X509Certificate } from "node:crypto"
import { appendFileSync, chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { networkInterfaces } from "node:os"
import { join } from "node:path"
import { connect } from "node:tls"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { relayDhcp } from "../../adapters/dhcp/client.ts"
import { connectIscsi } from "../../adapters/iscsi/client.ts"
import { imagelink, json, refusal, type Served, scratch, startServe } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"
import { requires } from "../support/requires.ts"

const folder = scratch("reload")
const data = join(folder, "data")
const etc = join(folder, "etc")
const toml = join(etc, "imagelink.toml")
const secrets = join(etc, "secrets.toml")
const loopback = Object.entries(networkInterfaces()).find(([, at]) => at?.[0]?.internal)![0]

const secret = (text: string) => {
  writeFileSync(secrets, `[[chap]]\nclient = "*"\nuser = "lab"\nsecret = "${text}"\n`)
  chmodSync(secrets, 0o600)
}
const identity = (subject: string) => {
  const out = ["-keyout", join(etc, "api.key"), "-out", join(etc, "api.pem")]
  execFileSync(
    "openssl",
    ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", `/CN=${subject}`, ...out],
    {
      stdio: "ignore",
    },
  )
}
const first = `interface = "${loopback}"
dhcp = "full"
dhcp-port = 0
dhcp-proxy-port = 0
dhcp-range = "127.77.0.10-127.77.0.19"
iscsi-port = 0
iscsi-secrets = "secrets.toml"
api-port = 0
api-cert = "api.pem"
api-key = "api.key"
`
const replace = (...pairs: ReadonlyArray<readonly [string, string]>) =>
  writeFileSync(
    toml,
    pairs.reduce((text, [from, to]) => text.replace(from, to), readFileSync(toml, "utf8")),
  )

const openssl = requires("openssl", "openssl")

describe.skipIf(openssl.skip)("a running server", () => {
  let server: Served
  const at = (protocol: string) => {
    const [address = "", port] = server.listeners[protocol]!.split(":")
    return { address, port: Number(port) }
  }
  const reload = () => json<{ applied: Array<string>; restart: Array<string> }>(["config", "reload"], { data })
  const lent = async (mac: string): Promise<string> => {
    const relay = await relayDhcp({ server: at("dhcp"), address: "127.77.0.1" })
    try {
      return (await relay.obtain(mac, "firmware")).address
    } finally {
      await relay.close()
    }
  }
  const subjectShown = () =>
    new Promise<string>((resolve, reject) => {
      const { address, port } = at("api")
      const socket = connect({ host: address, port, rejectUnauthorized: false }, () => {
        resolve(new X509Certificate(socket.getPeerCertificate().raw).subject)
        socket.destroy()
      })
      socket.once("error", reject)
    })
  const login = async (chapSecret: string): Promise<string> => {
    const { address, port } = at("iscsi")
    const chap = { user: "lab", secret: Buffer.from(chapSecret) }
    try {
      const client = await connectIscsi({ host: address, port, target: "iqn.2026-11.io.imagelink:pc-001", chap })
      await client.logout()
      return "let in"
    } catch {
      return "refused"
    }
  }
  /** The message with this text that the server logs after it was given a cause to. */
  const logged = async (text: string, cause: () => unknown): Promise<string> => {
    const before = server.stderr().length
    await cause()
    for (let i = 0; i < 200; i++) {
      const lines = server.stderr().slice(before).split("\n").slice(0, -1)
      const line = lines.find((one) => one.includes(text))
      if (line !== undefined) return (JSON.parse(line) as { readonly msg: string }).msg
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    throw new Error(`never logged: ${text}\n${server.stderr()}`)
  }

  beforeAll(async () => {
    mkdirSync(etc)
    identity("first")
    secret("first letters!")
    writeFileSync(toml, first)
    const { path } = rawImage(folder, "disk.raw", 64 * 1024)
    for (const args of [
      ["image", "add", "disk", path],
      ["client", "add", "52:54:00:00:00:01", "--name", "PC-001"],
      ["client", "link", "PC-001", "disk"],
    ])
      await json(args, { data })
    server = await startServe(data, ["--config", toml])
  })
  afterAll(() => server?.stop())

  it("goes by what it was told at its start", async () => {
    expect(await subjectShown()).toBe("CN=first")
    expect([await login("first letters!"), await login("other letters!")]).toEqual(["let in", "refused"])
    expect(await lent("52:54:00:00:00:11")).toMatch(/^127\.77\.0\.1\d$/)
  })

  it("has nothing to do where nothing changed", async () => {
    expect(await reload()).toEqual({ applied: [], restart: [] })
  })

  it("goes by a renewed certificate and by new secrets under the same names", async () => {
    identity("second")
    secret("other letters!")
    expect(await reload()).toEqual({ applied: ["iscsi-secrets", "api-cert", "api-key"], restart: [] })
    expect(await subjectShown()).toBe("CN=second")
    expect([await login("first letters!"), await login("other letters!")]).toEqual(["refused", "let in"])
  })

  it("goes by another range and another log level, and names what has to wait, each time", async () => {
    replace(["127.77.0.10-127.77.0.19", "127.77.0.40-127.77.0.49"])
    appendFileSync(toml, 'log-level = "debug"\ncache = "32M"\n')
    const applied = ["dhcp-range", "log-level"]
    expect(await reload()).toEqual({ applied, restart: ["cache"] })
    // an offer is told at that level
    const offered = await logged("offer to", async () => {
      expect(await lent("52:54:00:00:00:11")).toMatch(/^127\.77\.0\.4\d$/)
    })
    expect(offered).toContain("52:54:00:00:00:11")
    expect(await reload()).toEqual({ applied: [], restart: ["cache"] })
    const told = await logged("need a restart", async () => {
      const { status, stdout } = await imagelink(["config", "reload"], { data })
      expect([status, stdout]).toEqual([0, "nothing changed that can while it runs\nneeds a restart: cache\n"])
    })
    expect(told).toMatch(/: cache$/)
  })

  it("stays as it was where any of it is wrong, and says which file, line and key", async () => {
    const good = readFileSync(toml, "utf8")
    replace(["127.77.0.40-127.77.0.49", "127.77.0.60-127.77.0.69"])
    const wrong = async () => {
      const run = await imagelink(["config", "reload", "--json"], { data })
      const { code, message, cause } = refusal(run)
      return [run.status, code, `${message}; ${cause}`] as const
    }
    appendFileSync(toml, "nbd-port = 70000\n")
    expect(await wrong()).toEqual([
      2,
      "CONFIG_INVALID",
      expect.stringMatching(/imagelink\.toml.*line 13: nbd-port: expected/),
    ])
    appendFileSync(toml, "= what\n")
    expect(await wrong()).toEqual([2, "CONFIG_INVALID", expect.stringMatching(/imagelink\.toml.*line 14, column 1: /)])
    // what only DHCP can judge
    writeFileSync(toml, good.replace("127.77.0.40-127.77.0.49", "10.0.0.60-10.0.0.69"))
    expect(await wrong()).toEqual([2, "CONFIG_INVALID", expect.stringMatching(/imagelink\.toml.*line 5: dhcp-range: /)])
    // the file is right, another one that it names is not
    writeFileSync(toml, good.replace("127.77.0.40-127.77.0.49", "127.77.0.60-127.77.0.69"))
    writeFileSync(join(etc, "api.pem"), "no certificate")
    expect(await wrong()).toEqual([
      2,
      "CONFIG_INVALID",
      expect.stringMatching(/api\.pem.*expected a certificate in PEM/),
    ])
    expect(await lent("52:54:00:00:00:12")).toMatch(/^127\.77\.0\.4\d$/)
    expect(await subjectShown()).toBe("CN=second")
  })

  it("says the same on SIGHUP in its log, and serves on", async () => {
    const hangUp = () => process.kill(server.pid, "SIGHUP")
    expect(await logged("stay as they were", hangUp)).toMatch(
      /api\.pem.*\[CONFIG_INVALID\].*expected a certificate in PEM/,
    )
    identity("third")
    expect(await logged("in force", hangUp)).toMatch(/in force: dhcp-range, api-cert, api-key$/)
    expect(await subjectShown()).toBe("CN=third")
    expect(await lent("52:54:00:00:00:12")).toMatch(/^127\.77\.0\.6\d$/)
  })
})

it("config reload finds no server where none runs", async () => {
  const run = await imagelink(["config", "reload", "--json"], { data: join(folder, "none") })
  expect([run.status, refusal(run).code]).toEqual([4, "SERVER_NOT_REACHABLE"])
})
