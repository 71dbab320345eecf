/** Clients that are sent to another portal: by setting, in the login's answer, in a discovery. */
import { afterEach, describe, expect, it } from "vitest"
import { discoverIscsi } from "../../adapters/iscsi/client.ts"
import { IscsiError } from "../../adapters/iscsi/client-login.ts"
import { decodeElsewhere } from "../../adapters/iscsi/elsewhere.ts"
import { isImagelinkError } from "../../core/errors.ts"
import { PC1, startIscsi } from "../support/iscsi-server.ts"

const own = "10.0.0.1:3260"

describe("a setting", () => {
  const where = (redirect: string | undefined, moved: string | undefined, client: string) =>
    decodeElsewhere({ "iscsi-redirect": redirect, "iscsi-moved": moved }, own)(client.toLowerCase())

  it.each([
    ["10.0.0.2", "10.0.0.2:3260"],
    ["10.0.0.2:65535", "10.0.0.2:65535"],
    ["fd00::2", "[fd00::2]:3260"],
    ["[fd00::2]:3261", "[fd00::2]:3261"],
    ["[fd00::2]", "[fd00::2]:3260"],
    ["disks-2.lab", "disks-2.lab:3260"],
    [" 10.0.0.2 ", "10.0.0.2:3260"],
  ])("%s sends everybody to %s", (text, portal) => {
    expect(where(text, undefined, "PC-001")).toEqual({ portal, status: 0x0101 })
    expect(where(undefined, text, "PC-001")).toEqual({ portal, status: 0x0102 })
  })

  it("of a client goes before that of everybody, and for now before for good", () => {
    const redirect = "PC-001=10.0.0.2, 10.0.0.3"
    const moved = "pc-001=10.0.0.4,pc-002=10.0.0.5,10.0.0.6"
    expect(where(redirect, moved, "pc-001")).toEqual({ portal: "10.0.0.2:3260", status: 0x0101 })
    expect(where(redirect, moved, "PC-002")).toEqual({ portal: "10.0.0.5:3260", status: 0x0102 })
    expect(where(redirect, moved, "PC-003")).toEqual({ portal: "10.0.0.3:3260", status: 0x0101 })
    expect(where("PC-001=10.0.0.2", undefined, "PC-002")).toBeUndefined()
    expect(where(undefined, undefined, "PC-001")).toBeUndefined()
  })

  it.each([
    "",
    "10.0.0.2,",
    "10.0.0.256",
    "10.0.0.2:0",
    "10.0.0.2:65536",
    "10.0.0.2:",
    "[fd00::2",
    "[10.0.0.2]",
    "=10.0.0.2",
    "PC-001=",
    "a b",
    "10.0.0.2,10.0.0.3",
    "PC-001=10.0.0.2,pc-001=10.0.0.3",
    own,
    "10.0.0.1",
  ])("%j is refused", (text) => {
    let thrown: unknown
    try {
      where(text, undefined, "PC-001")
    } catch (e) {
      thrown = e
    }
    expect(isImagelinkError(thrown) && thrown.code).toBe("CONFIG_INVALID")
  })
})

const open: Array<{ stop(): Promise<void> }> = []
afterEach(async () => {
  for (const one of open.splice(0)) await one.stop()
})
const start = async (...[options]: Parameters<typeof startIscsi>) => {
  const s = await startIscsi(options)
  open.push(s)
  return s
}
const portal = "10.0.0.2:3260"

describe("a login at a target that is elsewhere", () => {
  it.each([
    [1, 0x0101],
    [2, 0x0102],
  ] as const)(
    "in %i steps is answered %i with the other portal, asked for no secret, and opens nothing",
    async (steps, status) => {
      const secret = { user: "pc-001", secret: Buffer.from("sixteen letters!") }
      const s = await start({ server: { elsewhereOf: () => ({ portal, status }), secretOf: () => secret } })
      const refused = await s.connect({ steps }).catch((e: unknown) => e)
      expect(refused).toBeInstanceOf(IscsiError)
      expect(refused).toMatchObject({ status, movedTo: portal })
      expect(s.disks.attached).toEqual([])
      expect(s.events.find((e) => e.type === "redirected")).toMatchObject({ target: PC1, portal, status })
    },
  )

  it("leaves other clients where they are", async () => {
    const s = await start({
      server: { elsewhereOf: (client) => (client === "pc-002" ? { portal, status: 0x0101 } : undefined) },
    })
    s.disks.add("client/PC-002/0", s.device)
    expect(await (await s.connect()).sizeBytes()).toBe(4 * 1024 * 1024)
    const listed = await discoverIscsi("127.0.0.1", s.port)
    expect(listed).toEqual([
      { name: PC1, addresses: [`127.0.0.1:${s.port},1`] },
      { name: "iqn.2026-11.io.imagelink:pc-002", addresses: [`${portal},1`] },
    ])
  })
})
