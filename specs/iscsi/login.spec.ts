/** Logins as initiators do them, and as they must not: statuses of RFC 7143 §11.13.5 written out. */
import { afterEach, describe, expect, it } from "vitest"
import { Chap, chapResponse, type Secret } from "../../adapters/iscsi/chap.ts"
import { connectIscsi, discoverIscsi, IscsiError } from "../../adapters/iscsi/client.ts"
import { LOGIN } from "../../adapters/iscsi/pdu.ts"
import { encodeText } from "../../adapters/iscsi/text.ts"
import { fail } from "../../core/errors.ts"
import { PC1, startIscsi, targetOf, until } from "../support/iscsi-server.ts"
import { MemoryDevice } from "../support/memory-disks.ts"

const open: Array<{ stop(): Promise<void> }> = []
afterEach(async () => {
  for (const one of open.splice(0)) await one.stop()
})
const start = async (options: Parameters<typeof startIscsi>[0] = {}) => {
  const s = await startIscsi(options)
  open.push(s)
  return s
}
const statusOf = async (attempt: Promise<unknown>): Promise<number | undefined> => {
  const e = await attempt.then(
    () => undefined,
    (thrown) => thrown,
  )
  expect(e).toBeInstanceOf(IscsiError)
  return (e as IscsiError).status
}

describe("a login", () => {
  it.each([1, 2] as const)("in %i step(s) opens the disk", async (steps) => {
    const s = await start()
    const client = await s.connect({ steps })
    expect(await client.sizeBytes()).toBe(4 * 1024 * 1024)
    expect(client.tsih).toBeGreaterThan(0)
    expect(client.answers.get("TargetPortalGroupTag")).toBe("1")
    expect(client.answers.get("MaxRecvDataSegmentLength")).toBe("262144")
    await client.logout()
    await until(() => s.disks.leases("client/PC-001/0") === 0, "the lease was given back")
    expect(s.events.map((e) => e.type)).toEqual(["connected", "opened", "closed"])
  })

  it("takes the target's name in any case", async () => {
    const s = await start()
    await (await s.connect({ target: PC1.toUpperCase() })).logout()
  })

  it.each([
    ["a client that is not there", targetOf("PC-002"), 0x0203],
    ["another authority", "iqn.2001-04.com.example:disk", 0x0203],
    ["an initiator name that is none", PC1, 0x0200],
  ])("of %s is refused", async (what, target, status) => {
    const s = await start()
    const initiator = what.startsWith("an initiator") ? "my pc" : "iqn.2026-11.test:pc"
    expect(await statusOf(s.connect({ target, initiator }))).toBe(status)
    await until(() => s.events.some((e) => e.type === "closed"), "the connection was closed")
    expect(s.events.some((e) => e.type === "refused")).toBe(true)
  })

  it.each([
    ["EXPORT_DENIED", fail("EXPORT_DENIED", { name: "client/PC-001/0", peer: "10.0.0.9" }), 0x0202],
    ["CLIENT_TWICE", fail("CLIENT_TWICE", { client: "PC-001", address: "192.0.2.1", second: "192.0.2.2" }), 0x0301],
    ["OVERLAY_RETIRED", fail("OVERLAY_RETIRED", { client: "PC-001", slot: 0 }), 0x0204],
    ["CLOSED", fail("CLOSED", { what: "the server" }), 0x0301],
  ])("that the disks refuse with %s says so", async (code, refusal, status) => {
    const s = await start()
    s.disks.refusal = refusal
    expect(await statusOf(s.connect())).toBe(status)
    expect(s.events.find((e) => e.type === "refused")).toMatchObject({ code, status, target: PC1 })
  })

  it("names a second connection of a session and is refused", async () => {
    const s = await start()
    const first = await s.connect()
    expect(await statusOf(s.connect({ tsih: first.tsih }))).toBe(0x0206)
    expect(await first.nop(Buffer.from("still here"))).toEqual(Buffer.from("still here"))
  })

  it("with something else than a login first is cut off", async () => {
    const s = await start()
    const socket = s.raw()
    let got = 0
    let closed = false
    socket.on("data", (b) => (got += b.length)).on("close", () => (closed = true))
    socket.write(Buffer.alloc(48))
    await until(() => closed, "the connection was closed")
    expect(got).toBe(0)
  })

  it("of another version is refused with 0205", async () => {
    const s = await start()
    const socket = s.raw()
    let got = Buffer.alloc(0)
    socket.on("data", (b) => (got = Buffer.concat([got, b])))
    socket.write(loginPdu({ versionMin: 1 }))
    await until(() => got.length >= 48, "an answer came")
    expect(got.readUInt16BE(36)).toBe(0x0205)
  })

  it.each([
    ["InitiatorName", [["TargetName", PC1]] as const, 0x0207],
    ["TargetName", [["InitiatorName", "iqn.2026-11.test:pc"]] as const, 0x0207],
    [
      "a session type there is",
      [
        ["InitiatorName", "iqn.a:b"],
        ["SessionType", "Slow"],
      ] as const,
      0x0209,
    ],
    ["text", undefined, 0x0200],
  ])("without %s is refused", async (_what, pairs, status) => {
    const s = await start()
    const socket = s.raw()
    let got = Buffer.alloc(0)
    socket.on("data", (b) => (got = Buffer.concat([got, b])))
    socket.write(loginPdu({ text: pairs === undefined ? Buffer.from("no pairs\0") : encodeText(pairs) }))
    await until(() => got.length >= 48, "an answer came")
    expect(got.readUInt16BE(36)).toBe(status)
  })

  it("whose text comes in pieces is answered when it is whole", async () => {
    const s = await start()
    const socket = s.raw()
    let got = Buffer.alloc(0)
    socket.on("data", (b) => (got = Buffer.concat([got, b])))
    const text = encodeText([
      ["InitiatorName", "iqn.2026-11.test:pc"],
      ["TargetName", PC1],
    ])
    socket.write(loginPdu({ text: text.subarray(0, 20), flags: 0x40 | (1 << 2) }))
    await until(() => got.length >= 48, "an empty answer came")
    expect(got.readUInt16BE(36)).toBe(0)
    expect(got.length).toBe(48)
    expect(got[1]).toBe(1 << 2)
    socket.write(loginPdu({ text: text.subarray(20) }))
    await until(() => got.length >= 96, "the last answer came")
    expect(got.readUInt16BE(48 + 36)).toBe(0)
    expect(got[49]).toBe(0x87)
  })

  it("with the same name and ISID takes the place of the one before, without an attention, and CmdSN begins where it says", async () => {
    const s = await start()
    const isid = Buffer.from("00023d000001", "hex")
    const first = await s.connect({ isid })
    await first.good({ cdb: [0] })
    const second = await s.connect({ isid, cmdSN: 0x523 })
    await first.closed
    expect((await second.command({ cdb: [0] })).status).toBe(0)
    expect(s.events.filter((e) => e.type === "opened").map((e) => e.reinstated)).toEqual([false, true])
    expect(s.server.connections()).toBe(1)
  })

  it("of which several come at once with one name and ISID leaves one session", async () => {
    const s = await start()
    const isid = Buffer.from("00023d000002", "hex")
    const all = await Promise.all(Array.from({ length: 8 }, () => s.connect({ isid })))
    await until(() => s.server.connections() === 1, "one is left")
    expect(s.disks.leases("client/PC-001/0")).toBe(1)
    const alive = await Promise.all(
      all.map((c) =>
        c.nop(Buffer.from("x")).then(
          () => 1,
          () => 0,
        ),
      ),
    )
    expect(alive.filter((a) => a === 1)).toHaveLength(1)
  })

  it("waits for a command of the one before that is still being done, though its connection is gone, and keeps nobody else waiting", async () => {
    const s = await start({ missRate: 1 })
    const isid = Buffer.from("00023d000003", "hex")
    const first = await s.connect({ isid })
    const write = s.device.write.bind(s.device)
    let asked = false
    s.device.write = (...args) => {
      asked = true
      return write(...args)
    }
    s.device.hold()
    const writing = first.write(0, Buffer.alloc(512, 1)).catch(() => undefined)
    await until(() => asked, "the write has reached the disk")
    first.destroy()
    await writing
    let took = false
    const second = s.connect({ isid }).then((client) => {
      took = true
      return client
    })
    const other = await s.connect()
    await other.nop(Buffer.from("x"))
    expect(took).toBe(false)
    s.device.letGo()
    expect((await (await second).read(0, 512))[0]).toBe(1)
    expect(s.events.filter((e) => e.type === "opened").map((e) => e.reinstated)).toEqual([false, false, true])
  })

  it("with another ISID stands beside the one before, and both see each other's writes", async () => {
    const s = await start()
    const [first, second] = [await s.connect(), await s.connect()]
    await first.write(0, Buffer.alloc(512, 7))
    expect(await second.read(0, 512)).toEqual(Buffer.alloc(512, 7))
  })

  it("that says nothing is closed after a while", async () => {
    const s = await start({ server: { limits: { loginSeconds: 0.05 } } })
    const socket = s.raw()
    let closed = false
    socket.on("close", () => (closed = true)).resume()
    await until(() => closed, "the connection was closed")
  })
})

describe("slots", () => {
  it("are LUNs of one target, each a disk of its own", async () => {
    const s = await start()
    const games = new MemoryDevice({ sizeBytes: 1024 * 1024, id: "PC-001/5/1" })
    s.disks.add("client/PC-001/5", games, "PC-001 slot 5 over games@1")
    const client = await s.connect()
    const luns = (await client.good({ cdb: [0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64], reads: 64, lun: 5 })).data
    expect(luns.toString("hex")).toBe("00000010000000000000000000000000" + "0005000000000000")
    await client.good({ cdb: [0x2a, 0, 0, 0, 0, 0, 0, 0, 1], writes: Buffer.alloc(512, 9), lun: 5 })
    expect([games.bytes[0], s.device.bytes[0]]).toEqual([9, 0])
    const names = await Promise.all([0, 5].map((lun) => client.good({ cdb: [0x12, 1, 0x80, 0, 64], reads: 64, lun })))
    expect(names[0]!.data.equals(names[1]!.data)).toBe(false)
  })

  it("of which one cannot be opened leave the others alone", async () => {
    const s = await start()
    s.disks.add("client/PC-001/1", new MemoryDevice({ sizeBytes: 512, id: "PC-001/1/1" }))
    const attach = s.disks.attach.bind(s.disks)
    s.disks.attach = async (client, slot, boot, peer) => {
      if (slot === 1) throw fail("OVERLAY_LOST", { client: "PC-001", slot: 1, why: "its host went down" })
      return attach(client, slot, boot, peer)
    }
    const client = await s.connect()
    expect((await client.read(0, 512)).length).toBe(512)
    const { sense } = await client.command({ cdb: [0], lun: 1 })
    expect([sense?.[2], sense?.readUInt16BE(12)]).toEqual([2, 0x0403])
  })

  it("are asked for with the boot id of the target's name", async () => {
    const s = await start()
    const asked: Array<string | undefined> = []
    const attach = s.disks.attach.bind(s.disks)
    s.disks.attach = async (client, slot, boot, peer) => {
      asked.push(boot)
      return attach(client, slot, boot, peer)
    }
    await s.connect({ target: `${PC1}:k3y` })
    await s.connect()
    expect(asked).toEqual(["k3y", undefined])
  })
})

describe("a missing image", () => {
  it("makes LUN 0 answer NOT READY, and the log says what to do", async () => {
    const s = await start()
    s.disks.refusal = fail("IMAGE_FILE_NOT_FOUND", { path: "/images/win11.raw", image: "win11" })
    const client = await s.connect()
    const { status, sense } = await client.command({ cdb: [0] })
    expect([status, sense?.[2], sense?.[12], sense?.[13]]).toEqual([2, 2, 0x3a, 0])
    const inquiry = await client.command({ cdb: [0x12, 0, 0, 0, 96], reads: 96 })
    expect(inquiry.data[0]).toBe(0)
    const luns = await client.command({ cdb: [0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64], reads: 64 })
    expect(luns.data.readUInt32BE(0)).toBe(8)
    s.disks.refusal = undefined
    await until(() => {
      void client.command({ cdb: [0] }).catch(() => undefined)
      return s.events.some((e) => e.type === "ready")
    }, "the disk came back")
    expect((await client.good({ cdb: [0] })).status).toBe(0)
    expect((await client.read(0, 512)).length).toBe(512)
    expect(s.events.find((e) => e.type === "not-ready")).toMatchObject({
      lun: 0,
      error: { code: "IMAGE_FILE_NOT_FOUND" },
    })
  })
})

describe("discovery", () => {
  it("lists every target with the address that was asked", async () => {
    const s = await start()
    s.disks
      .add("client/PC-002/0", new MemoryDevice({ sizeBytes: 512 }))
      .add("client/PC-002/1", new MemoryDevice({ sizeBytes: 512 }))
    const addresses = [`127.0.0.1:${s.port},1`]
    expect(await discoverIscsi("127.0.0.1", s.port)).toEqual([
      { name: PC1, addresses },
      { name: targetOf("PC-002"), addresses },
    ])
    expect(await discoverIscsi("127.0.0.1", s.port, targetOf("PC-002"))).toEqual([
      { name: targetOf("PC-002"), addresses },
    ])
    expect(await discoverIscsi("127.0.0.1", s.port, targetOf("PC-003"))).toEqual([])
  })

  it("of more than fits a PDU comes in parts", async () => {
    const s = await start()
    for (let i = 2; i <= 300; i++) s.disks.add(`client/PC-${i}/0`, new MemoryDevice({ sizeBytes: 512 }))
    const client = await s.connect({ target: undefined as never, keys: { MaxRecvDataSegmentLength: "512" } })
    const pairs = await client.text([["SendTargets", "All"]])
    expect(pairs.filter(([key]) => key === "TargetName")).toHaveLength(300)
  })

  it("gives no disk: a SCSI command is rejected", async () => {
    const s = await start()
    const client = await s.connect({ target: undefined as never })
    void client.command({ cdb: [0] }).catch(() => undefined)
    await until(() => client.unasked.length > 0, "a reject came")
    expect(client.unasked[0]).toMatchObject({ opcode: 0x3f })
    expect(s.disks.attached).toEqual([])
  })

  it("on a normal session tells of that target only", async () => {
    const s = await start()
    s.disks.add("client/PC-002/0", new MemoryDevice({ sizeBytes: 512 }))
    const client = await s.connect()
    expect(await client.text([["SendTargets", "All"]])).toEqual([["SendTargets", "Reject"]])
    expect((await client.text([["SendTargets", ""]]))[0]).toEqual(["TargetName", PC1])
    expect(await client.text([["InitialR2T", "Yes"]])).toEqual([["InitialR2T", "Reject"]])
  })
})

const secret: Secret = {
  user: "pc-001",
  secret: Buffer.from("a secret of 16 B"),
  mutual: { user: "server", secret: Buffer.from("another of 16 By") },
}

describe("CHAP", () => {
  // printf '\x01secret\x02\x03' | openssl dgst -md5, and so on.
  it.each([
    ["5", "f506c24f35d1c70e450edb8fdf933478"],
    ["6", "c89c16e4dae017f9f96fb7e0b771ae92805b9b3f"],
    ["7", "0139bffdf152606a2cbffc12059829afee1ca9ddf6a682afd2c3d9c5572c387b"],
    ["8", "f8d632f4120d63e6e132e32a335afbe79b4e84798b132a7a241688ff14c6fd5f"],
  ])("hashes identifier, secret and challenge with algorithm %s", (algorithm, hash) => {
    expect(chapResponse(algorithm, 1, Buffer.from("secret"), Buffer.from([2, 3])).toString("hex")).toBe(hash)
  })

  describe("of the target", () => {
    const begun = (one: Secret) => {
      const chap = new Chap([one], (bytes) => Buffer.alloc(bytes, 9))
      chap.step(new Map([["CHAP_A", "5"]]))
      const proof = chapResponse("5", 9, one.secret, Buffer.alloc(16, 9))
      return (more: Readonly<Record<string, string>>) =>
        chap.step(new Map(Object.entries({ CHAP_N: one.user, CHAP_R: `0x${proof.toString("hex")}`, ...more })))
    }

    it("is proved when it is asked for", () => {
      const response = chapResponse("5", 255, secret.mutual!.secret, Buffer.from([7])).toString("hex")
      expect(begun(secret)({ CHAP_I: "255", CHAP_C: "0x07" })).toEqual({
        kind: "done",
        answer: [
          ["CHAP_N", "server"],
          ["CHAP_R", `0x${response}`],
        ],
      })
    })

    it.each([
      ["our own challenge", { CHAP_I: "9", CHAP_C: `0x${"09".repeat(16)}` }],
      ["a challenge without its identifier", { CHAP_C: "0x07" }],
      ["an identifier that is no byte", { CHAP_I: "256", CHAP_C: "0x07" }],
      ["a challenge of 1025 bytes", { CHAP_I: "1", CHAP_C: `0x${"07".repeat(1025)}` }],
      ["an empty challenge", { CHAP_I: "1", CHAP_C: "0x" }],
    ])("fails who sends %s", (_what, said) => {
      expect(begun(secret)(said).kind).toBe("failed")
    })

    it("fails who asks for it where none is set", () => {
      expect(begun({ user: secret.user, secret: secret.secret })({ CHAP_I: "1", CHAP_C: "0x07" }).kind).toBe("failed")
    })
  })

  it.each(["5", "6", "7", "8"])(
    "with algorithm %s lets who knows the secret in, and proves the target",
    async (algorithms) => {
      const s = await start({ server: { secretOf: () => secret } })
      const client = await s.connect({ chap: { ...secret, algorithms } })
      expect(await client.sizeBytes()).toBe(4 * 1024 * 1024)
      expect(s.events.find((e) => e.type === "opened")).toMatchObject({ user: "pc-001" })
    },
  )

  it.each([
    ["a wrong secret", { ...secret, secret: Buffer.from("a secret of 16 C") }],
    ["another user", { ...secret, user: "pc-002" }],
    ["no algorithm of ours", { ...secret, algorithms: "9,10" }],
  ])("refuses %s with 0201", async (_what, chap) => {
    const s = await start({ server: { secretOf: () => secret } })
    expect(await statusOf(s.connect({ chap }))).toBe(0x0201)
  })

  it("refuses who offers none, in one step or two", async () => {
    const s = await start({ server: { secretOf: () => secret } })
    expect(await statusOf(s.connect({ steps: 1 }))).toBe(0x0201)
    expect(await statusOf(s.connect({ steps: 2 }))).toBe(0x0201)
    expect(s.disks.attached).toEqual([])
  })

  describe("with the secret of a boot", () => {
    const ofBoot = { user: "pc-001", secret: Buffer.from("twenty-four characters!!") }
    const boots = (given: boolean) => (t: { readonly boot: string | undefined }) =>
      t.boot === "b00t" ? { ...ofBoot, given } : undefined
    const target = `${PC1}:b00t`

    it("lets in who proves it, and who offers nothing where none is set", async () => {
      const s = await start({ server: { bootSecretOf: boots(true) } })
      await s.connect({ target, chap: ofBoot })
      await s.connect({ target })
      expect(s.events.filter((e) => e.type === "opened").map((e) => e.user)).toEqual(["pc-001", undefined])
      const wrong = { ...ofBoot, secret: Buffer.from("twenty-four characters??") }
      expect(await statusOf(s.connect({ target, chap: wrong }))).toBe(0x0201)
    })

    it("asks for it or for the one that is set, where one is", async () => {
      const s = await start({ server: { bootSecretOf: boots(true), secretOf: () => secret } })
      await s.connect({ target, chap: ofBoot })
      await s.connect({ target, chap: { ...secret, ...ofBoot } })
      await s.connect({ target, chap: secret })
      expect(await statusOf(s.connect({ target }))).toBe(0x0201)
      expect(await statusOf(s.connect({ target, steps: 1 }))).toBe(0x0201)
      expect(await statusOf(s.connect({ chap: ofBoot }))).toBe(0x0201)
    })

    it("knows it also where the script did not say it", async () => {
      const s = await start({ server: { bootSecretOf: boots(false) } })
      await s.connect({ target, chap: ofBoot })
      await s.connect({ target })
      expect(s.events.filter((e) => e.type === "opened").map((e) => e.user)).toEqual(["pc-001", undefined])
    })
  })

  it("answers who was refused too often later, and lets who knows the secret in at once", async () => {
    const s = await start({ server: { secretOf: () => secret, limits: { refusalDelaySeconds: 600 } } })
    const at = { host: "127.0.0.1", port: s.port, target: PC1 }
    for (let i = 0; i < 6; i++) expect(await statusOf(connectIscsi(at))).toBe(0x0201)
    const waiting = s.raw()
    let answered = 0
    waiting.on("data", (b) => (answered += b.length))
    const text = Buffer.from(`InitiatorName=iqn.2026-11.test:late\0TargetName=${PC1}\0AuthMethod=None\0`)
    waiting.write(loginPdu({ text, flags: 0x81 }))
    await s.connect({ chap: secret })
    expect(answered).toBe(0)
    waiting.destroy()
    await until(() => s.server.connections() === 1, "whoever waits and goes leaves nothing")
  })

  it("tells only the first refusals of a minute one by one", async () => {
    const s = await start({ server: { secretOf: () => secret } })
    for (let i = 0; i < 10; i++) await statusOf(connectIscsi({ host: "127.0.0.1", port: s.port, target: PC1 }))
    expect(s.events.filter((e) => e.type === "refused")).toHaveLength(6)
  })
})

const loginPdu = (o: { versionMin?: number; text?: Buffer; flags?: number }): Buffer => {
  const text = o.text ?? Buffer.alloc(0)
  const b = Buffer.alloc(48 + ((text.length + 3) & ~3))
  b[0] = 0x40 | LOGIN
  b[1] = o.flags ?? 0x87
  b[3] = o.versionMin ?? 0
  b.writeUIntBE(text.length, 5, 3)
  b.set(text, 48)
  return b
}
