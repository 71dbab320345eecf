import { statSync } from "node:fs"
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises"
import type { IncomingMessage } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it, onTestFinished } from "vitest"
import { makeGate } from "../../adapters/api/gate.ts"
import { listenRemote } from "../../adapters/api/listen.ts"
import { secretFile } from "../../adapters/host/secret-file.ts"
import { isImagelinkError } from "../../core/errors.ts"
import type { Host } from "../../core/host.ts"
import { limits } from "../../core/limits.ts"
import { openTokens, type TokenFile } from "../../core/runtime/tokens.ts"
import { serveApi } from "./support.ts"

const codeOf = async (run: () => unknown): Promise<string> => {
  try {
    await run()
  } catch (e) {
    return isImagelinkError(e) ? e.code : String(e)
  }
  return "none"
}

const memoryFile = (): TokenFile & { text: string | undefined } => ({
  text: undefined,
  async read() {
    return this.text
  },
  async replace(text) {
    this.text = text
  },
})
let drawn = 0
const random = (bytes: number) => Uint8Array.from({ length: bytes }, (_, i) => (drawn++ * 31 + i) & 255)
const day = 86_400_000

describe("a token", () => {
  it("opens until the millisecond in which it ends, also after a restart", async () => {
    let now = 1000
    const file = memoryFile()
    const tokens = await openTokens(file, () => now, random)
    const { token } = await tokens.create({ name: "desk", role: "viewer", groups: [], days: 1 })
    expect(token).toMatch(/^il_[0-9a-f]{8}_[\w-]{43}$/)
    now = 1000 + day - 1
    const again = await openTokens(file, () => now, random)
    expect(await again.verify(token)).toMatchObject({ name: "desk", role: "viewer", expiresAt: 1000 + day })
    now = 1000 + day
    expect(await again.verify(token)).toBeUndefined()
  })

  it("is nothing once it is revoked, although it was trusted a moment ago", async () => {
    const tokens = await openTokens(memoryFile(), () => 0, random)
    const { token } = await tokens.create({ name: "desk", role: "admin", groups: [], days: null })
    expect(await tokens.verify(token)).toBeDefined()
    await tokens.revoke("DESK")
    expect(await tokens.verify(token)).toBeUndefined()
    expect(await codeOf(() => tokens.revoke("desk"))).toBe("TOKEN_NOT_FOUND")
  })

  it("with one character changed is nothing", async () => {
    const tokens = await openTokens(memoryFile(), () => 0, random)
    const { token } = await tokens.create({ name: "desk", role: "admin", groups: [], days: null })
    for (const at of [0, 3, 11, 12, token.length - 1]) {
      const other = token[at] === "a" ? "b" : "a"
      expect(
        await tokens.verify(`${token.slice(0, at)}${other}${token.slice(at + 1)}`),
        `character ${at}`,
      ).toBeUndefined()
    }
    expect(await tokens.verify("")).toBeUndefined()
  })

  it.each([
    ["a name with a space", { name: "my desk" }, "TOKEN_INVALID"],
    ["no days", { days: 0 }, "TOKEN_INVALID"],
    ["too many days", { days: limits.tokenDaysMax + 1 }, "TOKEN_INVALID"],
    ["a role that is none", { role: "root" as never }, "TOKEN_INVALID"],
    ["a name that is taken, in other case", { name: "TAKEN" }, "TOKEN_EXISTS"],
  ])("is not made with %s", async (_, change, code) => {
    const tokens = await openTokens(memoryFile(), () => 0, random)
    await tokens.create({ name: "taken", role: "viewer", groups: [], days: null })
    const asked = { name: "desk", role: "viewer", groups: [], days: 1, ...change } as const
    expect(await codeOf(() => tokens.create(asked))).toBe(code)
    expect(tokens.list().length).toBe(1)
  })

  it("is in no file of the data folder, and its file is for the owner alone", async () => {
    const site = await serveApi("api-secrets")
    const token = await site.token("admin")
    await site.ask(token, "POST", "/api/v1/clients", { body: { mac: "525400000001" } })
    const secret = token.slice(12)
    const data = join(site.dir, "data")
    for (const entry of await readdir(data, { recursive: true, withFileTypes: true }))
      if (entry.isFile()) {
        const text = await readFile(join(entry.parentPath, entry.name), "latin1")
        expect(text.includes(secret), entry.name).toBe(false)
      }
    expect(statSync(join(data, "tokens.json")).mode & 0o777).toBe(0o600)
    expect(site.said.join("\n")).not.toContain(secret)
  })
})

describe("admission", () => {
  it("answers 401 without a token and with a wrong one, and 429 after ten wrong ones in a minute", async () => {
    const site = await serveApi("api-admission")
    const good = await site.token("viewer")
    expect((await site.ask(undefined, "GET", "/api/v1/links")).status).toBe(401)
    const wrong = `il_00000000_${"x".repeat(43)}`
    for (let i = 0; i < limits.apiRefusalsPerMinuteMax; i++)
      expect((await site.ask(wrong, "GET", "/api/v1/links")).headers.get("www-authenticate")).toBe("Bearer")
    const late = await site.ask(good, "GET", "/api/v1/links")
    expect([late.status, late.headers.get("retry-after")]).toEqual([429, "60"])
    expect((await site.ask(undefined, "GET", "/healthz")).text).toBe("ok\n")
  })

  it("takes the peer of the unix socket for who the kernel says it is", () => {
    const gate = (uid: number) =>
      makeGate({
        host: { peerCredentials: () => ({ pid: 1, uid, gid: 1 }), userName: () => "imagelink" },
        tokens: () => Promise.reject(new Error("nobody asks")),
        users: () => [{ name: "nobody", role: "auditor" }],
        now: () => 0,
      })
    const request = { socket: { _handle: { fd: 3 } } } as unknown as IncomingMessage
    const own = process.getuid!()
    expect(gate(own).local(request)).toMatchObject({ role: "admin", actor: { kind: "cli", name: "imagelink" } })
    expect(gate(0).local(request).role).toBe("admin")
    expect(gate(65_534).local(request)).toMatchObject({ role: "auditor", actor: { name: "nobody" } })
    expect(gate(4242).local(request)).toMatchObject({ role: "operator", actor: { name: "uid 4242" } })
  })

  it("takes a peer of whom the kernel says nothing for nobody; where it cannot be asked, the file mode has let in the server's own user alone", async () => {
    const gate = (host: Host) =>
      makeGate({ host, tokens: () => Promise.reject(new Error("nobody asks")), users: () => [], now: () => 0 })
    const request = { socket: { _handle: { fd: 3 } } } as unknown as IncomingMessage
    expect(await codeOf(() => gate({ peerCredentials: () => undefined }).local(request))).toBe("TOKEN_REFUSED")
    expect(
      await codeOf(() => gate({ peerCredentials: () => undefined }).local({ socket: {} } as IncomingMessage)),
    ).toBe("TOKEN_REFUSED")
    expect(gate({}).local(request).role).toBe("admin")
  })

  it("does not listen in clear on an address that others reach", async () => {
    const router = { handle: () => {}, close: async () => {} }
    const watched = { metrics: () => Promise.reject(new Error("nobody asks")), unready: () => [] }
    const who = () => Promise.reject(new Error("nobody asks"))
    const listen = (address: string) => listenRemote({ router, watched }, who, { address, port: 0, tls: undefined })
    expect(await codeOf(() => listen("0.0.0.0"))).toBe("CONFIG_INVALID")
    expect(await codeOf(() => listen("10.0.0.1"))).toBe("CONFIG_INVALID")
    const listener = await listen("127.0.0.1")
    await listener.close()
  })
})

describe("the file of tokens", () => {
  it("is replaced whole, and there is none before the first", async () => {
    const dir = await mkdtemp(join(tmpdir(), "imagelink-tokens-"))
    onTestFinished(() => rm(dir, { recursive: true }))
    const file = secretFile(join(dir, "tokens.json"))
    expect(await file.read()).toBeUndefined()
    await file.replace("one")
    await file.replace("two")
    expect(await file.read()).toBe("two")
    expect(await readdir(dir)).toEqual(["tokens.json"])
  })
})
