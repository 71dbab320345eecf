import { createPublicKey, generateKeyPairSync, sign, verify } from "node:crypto"
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { crc32c } from "../../core/bytes.ts"
import { canonicalBytes } from "../../core/log/canonical.ts"
import { createStore } from "../../core/log/create-store.ts"
import { siteKeyFromPem, siteKeyFromSeed, siteKeyPem } from "../../core/log/site-key.ts"
import { isSiteName, storeExists } from "../../core/log/store-files.ts"
import { random } from "./support/random.ts"
import { database, discard, open, temporary } from "./support/store.ts"

const code = (code: string) => expect.objectContaining({ code })

let root: string
let dir: string
beforeEach(() => {
  root = temporary("store")
  dir = join(root, "data")
})
afterEach(() => discard(root))

const create = (site = "lab.example") =>
  Effect.runPromise(createStore(dir, { site, now: 1_795_000_000_000, random: random(1).bytes, database }))
const file = (name: string) => join(dir, "store", name)

describe("making a store", () => {
  it("makes the data folder, the store's files and nothing else", async () => {
    expect(storeExists(dir)).toBe(false)
    const site = await create()
    expect(storeExists(dir)).toBe(true)
    expect(readdirSync(dir)).toEqual(["store"])
    expect(readdirSync(file(".")).sort()).toEqual(["db", "head", "site.key", "store.json"])
    expect(site).toMatchObject({ name: "lab.example", createdAt: 1_795_000_000_000 })
    expect(site.storeId).toMatch(/^01a1ee56-5e00-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  })

  it("gives the identity that opening reads", async () => {
    const site = await create()
    const { log, close } = await open(dir)
    expect(log.site).toEqual(site)
    expect(log.head()).toBe(0)
    const message = Buffer.from("checkpoint")
    const x = Buffer.from(site.publicKey).toString("base64url")
    const published = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" })
    expect(verify(null, message, published, sign(null, message, log.key.privateKey))).toBe(true)
    await close()
  })

  it("keeps the private key from other users", async () => {
    await create()
    expect(statSync(file("site.key")).mode & 0o777).toBe(0o600)
  })

  it("is refused where there is one, or the remains of one", async () => {
    await create()
    const before = readFileSync(file("store.json"), "utf8")
    await expect(create("other")).rejects.toEqual(code("STORE_EXISTS"))
    expect(readFileSync(file("store.json"), "utf8")).toBe(before)
    rmSync(file("."), { recursive: true })
    mkdirSync(file("."))
    await expect(create("other")).rejects.toEqual(code("STORE_EXISTS"))
  })

  it("leaves nothing behind when it fails", async () => {
    const broken = () => {
      throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" })
    }
    const options = { site: "lab", now: 1, random: random(1).bytes, database: broken }
    await expect(Effect.runPromise(createStore(dir, options))).rejects.toEqual(code("NO_SPACE"))
    expect(readdirSync(dir)).toEqual([])
  })

  it.each(["a", "x".repeat(64), "lab.example.org/2026", "!~"])("takes the site name %s", (name) => {
    expect(isSiteName(name)).toBe(true)
  })

  it.each(["", "x".repeat(65), "two words", "a+b", "caf\u00e9", "tab\t", "line\n", "\u007f"])(
    "refuses the site name %j",
    async (name) => {
      await expect(create(name)).rejects.toEqual(code("SITE_NAME_INVALID"))
      expect(existsSync(dir)).toBe(false)
    },
  )
})

describe("opening a store", () => {
  beforeEach(() => create())

  const rewrite = (change: (body: Record<string, unknown>) => void) => {
    const { crc32c: _, ...body } = JSON.parse(readFileSync(file("store.json"), "utf8")) as Record<string, unknown>
    change(body)
    const checksum = crc32c(canonicalBytes(body)).toString(16).padStart(8, "0")
    writeFileSync(file("store.json"), JSON.stringify({ ...body, crc32c: checksum }))
  }

  it("refuses a newer format, and one with a feature it must understand and does not", async () => {
    rewrite((body) => {
      body.format = 2
    })
    await expect(open(dir)).rejects.toEqual(code("STORE_NEWER"))
    rewrite((body) => {
      body.format = 1
      body.features = { compatible: 0, incompatible: 1 }
    })
    await expect(open(dir)).rejects.toEqual(code("STORE_NEWER"))
  })

  it("reads past a compatible feature that it does not know", async () => {
    rewrite((body) => {
      body.features = { compatible: 4, incompatible: 0 }
    })
    await (await open(dir)).close()
  })

  it("refuses store.json with any one byte changed that matters", async () => {
    const whole = readFileSync(file("store.json"))
    for (let at = 0; at < whole.length; at++) {
      const bad = Buffer.from(whole)
      bad[at]! ^= 1
      const only = Buffer.from(bad.toString("latin1").replace(/\s/g, ""))
      // spaces between the members carry nothing
      if (only.equals(Buffer.from(whole.toString("latin1").replace(/\s/g, "")))) continue
      writeFileSync(file("store.json"), bad)
      await expect(open(dir), `byte ${at}`).rejects.toEqual(code("STORE_DAMAGED"))
    }
  })

  it.each([
    ["empty", ""],
    ["no key", "hello"],
    ["another Ed25519 key", siteKeyPem(siteKeyFromSeed(new Uint8Array(32)))],
    ["a key of another kind", generateKeyPairSync("x25519").privateKey.export({ format: "pem", type: "pkcs8" })],
  ])("refuses a site.key that is %s", async (_name, text) => {
    writeFileSync(file("site.key"), text)
    await expect(open(dir)).rejects.toEqual(code("STORE_DAMAGED"))
  })
})

it("the key of a seed is the test vector of RFC 8032 §7.1, and reads back from its PEM", () => {
  const seed = Buffer.from("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "hex")
  const key = siteKeyFromSeed(seed)
  expect(Buffer.from(key.publicKey).toString("hex")).toBe(
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
  )
  expect(siteKeyFromPem(siteKeyPem(key))!.publicKey).toEqual(key.publicKey)
})
