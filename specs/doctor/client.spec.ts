/** The client's checks and how all are run, with what comes over the wire given by hand. */
import { describe, expect, it } from "vitest"
import { firmwareOf } from "../../adapters/dhcp/firmware.ts"
import { BOOTREPLY, decode, encode } from "../../adapters/dhcp/message.ts"
import { OPTION, text, u8, u32 } from "../../adapters/dhcp/options.ts"
import type { Check } from "../../adapters/doctor/check.ts"
import { dhcp } from "../../adapters/doctor/client/dhcp.ts"
import { discover, readOffer } from "../../adapters/doctor/client/dhcp-codec.ts"
import { iscsi } from "../../adapters/doctor/client/iscsi.ts"
import { type Ask, type Offer, unasked } from "../../adapters/doctor/client/offers.ts"
import { script } from "../../adapters/doctor/client/script.ts"
import { tftp } from "../../adapters/doctor/client/tftp.ts"
import type { Exam } from "../../adapters/doctor/exam.ts"
import { pass } from "../../adapters/doctor/finding.ts"
import { runChecks } from "../../adapters/doctor/run.ts"
import { fail } from "../../core/errors.ts"
import { bootScript } from "../../core/runtime/boot-script.ts"
import { effectiveConfig } from "../../core/runtime/config.ts"
import { bootSector } from "../support/doctor.ts"

const OURS = "10.0.0.1"
const OTHER = "10.0.0.9"
const url = `http://${OURS}:8080/boot/52-54-00-00-00-01.ipxe`
const client = {
  ...{ name: "PC-001", mac: "52:54:00:00:00:01", address: "10.0.0.51" },
  links: [{ slot: 0, image: "win11", version: 1, follows: true, overlay: "discard" }],
}
const listeners = { dhcp: `${OURS}:67`, tftp: `${OURS}:69`, http: `${OURS}:8080`, iscsi: `${OURS}:3260` }
const ours: Readonly<Record<Ask, ReadonlyArray<Offer>>> = {
  bios: [{ server: OURS, address: "10.0.0.51", next: OURS, file: "undionly.kpxe" }],
  uefi: [{ server: OURS, address: "10.0.0.51", next: OURS, file: "snponly.efi" }],
  ipxe: [{ server: OURS, address: "10.0.0.51", next: OURS, file: url }],
}
const plan = { server: OURS, iscsiPort: 3260, script: url, client: "PC-001" }
const disk = bootScript({
  ...{ ...plan, kind: "disk", mac: client.mac, image: "win11@1", bootId: "PREVIEW" },
  ...{ moreSlots: [], withoutGateway: true, fallback: false },
})

const heard = (offers: Partial<Record<Ask, ReadonlyArray<Offer>>> = {}) => ({
  silent: undefined,
  where: "eth1",
  offers: { ...ours, ...offers },
})

const exam = (more: Partial<Exam> = {}, mode = "full"): Exam => {
  const wires = {
    tftp: async () => Buffer.alloc(3),
    http: async () => disk,
    discover: async () => ["iqn.2026-11.io.imagelink:pc-001"],
    firstBlock: async () => bootSector(),
  }
  const settings = { address: OURS, interface: "eth1", dhcp: mode as "full" }
  const shown = { url, text: disk, why: undefined }
  return {
    ...{ dataDir: "/nowhere", config: effectiveConfig([{ from: "here", settings }]), configError: undefined },
    ...{
      said: new Set(),
      running: { pid: 1, version: "1", listeners },
      runningError: undefined,
      holder: 1,
      host: {},
      wires,
    },
    ...{ now: () => 0, from: { kind: "here" }, client: async () => client, script: async () => shown },
    ...{ hearing: async () => heard(), told: async () => heard() },
    site: () => Promise.reject(new Error("nobody asks it")),
    images: undefined as never,
    ...more,
  }
}
const wired = (more: Partial<Exam["wires"]>) => exam({ wires: { ...exam().wires, ...more } })
const alarms = async (check: Check, of: Exam): Promise<ReadonlyArray<string>> => {
  const found = await check.run(of, new AbortController().signal)
  return [...new Set(found.map(({ state, error }) => (error === undefined ? state : `${state} ${error.code}`)))]
}
const rejecting = (more: object) => () => Promise.reject(Object.assign(new Error("no"), more))

describe("DHCP", () => {
  const others = (offer: Partial<Offer>) => [{ server: OTHER, address: "10.0.0.99", next: OTHER, file: "", ...offer }]
  const with_ = (offers: Parameters<typeof heard>[0], mode?: string) =>
    exam({ hearing: async () => heard(offers) }, mode)

  it("passes with our offers alone", async () => expect(await alarms(dhcp, exam())).toEqual(["pass"]))

  it("has failed without an offer, with one that leads nowhere, and with somebody else's", async () => {
    expect(await alarms(dhcp, with_({ bios: [], uefi: [], ipxe: [] }))).toEqual(["fail DHCP_SILENT", "pass"])
    const nowhere = [{ ...ours.uefi[0]!, file: "" }]
    expect(await alarms(dhcp, with_({ uefi: nowhere }))).toEqual(["pass", "fail DHCP_OFFER_WRONG"])
    expect(await alarms(dhcp, with_({ uefi: [...ours.uefi, ...others({})] }))).toEqual([
      "pass",
      "fail DHCP_OTHER_SERVER",
    ])
  })

  it("as a proxy wants somebody else's address, and nobody else's boot program", async () => {
    const proxied = (offer: Partial<Offer>) => {
      const own = (ask: Ask) => ours[ask].map((o) => ({ ...o, address: "0.0.0.0" }))
      return with_({ bios: [...own("bios"), ...others(offer)], uefi: own("uefi"), ipxe: own("ipxe") }, "proxy")
    }
    expect(await alarms(dhcp, proxied({}))).toEqual(["pass"])
    expect(await alarms(dhcp, proxied({ address: "0.0.0.0" }))).toEqual(["pass", "fail DHCP_NO_ADDRESS"])
    expect(await alarms(dhcp, proxied({ file: "pxelinux.0" }))).toEqual(["pass", "fail DHCP_OTHER_SERVER"])
  })

  it("has failed where the boot server's port is silent, or names nothing, once it was asked", async () => {
    const said = (bootServer: Offer | "silent") => exam({ hearing: async () => ({ ...heard(), bootServer }) })
    expect(await alarms(dhcp, said(ours.uefi[0]!))).toEqual(["pass"])
    expect(await alarms(dhcp, said("silent"))).toEqual(["pass", "fail DHCP_SILENT"])
    expect(await alarms(dhcp, said({ ...ours.uefi[0]!, file: "" }))).toEqual(["pass", "fail DHCP_OFFER_WRONG"])
  })

  it("is skipped where it cannot be asked, or nothing serves it", async () => {
    expect(await alarms(dhcp, exam({ hearing: async () => unasked("port 68 is taken") }))).toEqual(["skip"])
    expect(await alarms(dhcp, exam({ running: undefined }))).toEqual(["skip"])
    expect(await alarms(dhcp, exam({ running: { pid: 1, version: "1", listeners: {} } }))).toEqual(["skip"])
  })
})

describe("the codec of the other implementation", () => {
  const said = (ask: Ask, relay?: { readonly address: string }) => {
    const decoded = decode(discover(ask, client.mac, 7, relay))
    if (!decoded.ok) throw new Error(decoded.why)
    return decoded.message
  }

  it("asks as firmware and as iPXE, and says that it is nobody's boot", () => {
    const firmware = (["bios", "uefi", "ipxe"] as const).map((ask) => firmwareOf(said(ask)))
    expect(firmware.map(({ kind, architecture, isProbe }) => [kind, architecture, isProbe])).toEqual([
      ["pxe", 0, true],
      ["pxe", 7, true],
      ["ipxe", 7, true],
    ])
    const { xid, broadcast, giaddr, hops, chaddr } = said("bios")
    expect([xid, broadcast, giaddr, hops, Buffer.from(chaddr).toString("hex")]).toEqual([7, true, 0, 0, "525400000001"])
    const relayed = said("bios", { address: "127.0.0.1" })
    expect([relayed.giaddr, relayed.hops, relayed.options.get(OPTION.relayAgent)]).toEqual([
      0x7f000001,
      1,
      Uint8Array.of(19, 0),
    ])
  })

  it("reads our offer, and takes nothing else for one", () => {
    const reply = (type: number, file: string) =>
      Buffer.from(
        encode({
          ...{ ...said("uefi"), op: BOOTREPLY, yiaddr: 0x0a000033, siaddr: 0x0a000001, file },
          options: new Map([
            [OPTION.messageType, u8(type)],
            [OPTION.serverId, u32(0x0a000001)],
            [OPTION.bootFile, text(url)],
          ]),
        }),
      )
    const offer = { server: OURS, address: "10.0.0.51", next: OURS, file: "snponly.efi" }
    expect(readOffer(reply(2, "snponly.efi"), OTHER)).toEqual({ xid: 7, offer })
    expect(readOffer(reply(2, ""), OTHER)?.offer.file).toBe(url)
    expect(readOffer(reply(5, "snponly.efi"), OTHER)).toBeUndefined()
    for (const bytes of [
      Buffer.alloc(0),
      Buffer.alloc(300),
      reply(2, "x").subarray(0, 241),
      discover("bios", client.mac, 7, undefined),
    ])
      expect(readOffer(bytes, OTHER)).toBeUndefined()
  })
})

describe("TFTP", () => {
  it("has failed where nothing comes, and where it is refused", async () => {
    expect(await alarms(tftp, wired({ tftp: rejecting({}) }))).toEqual(["fail TFTP_SILENT"])
    expect(await alarms(tftp, wired({ tftp: rejecting({ code: 1 }) }))).toEqual(["fail TFTP_WRONG"])
  })
})

describe("the script", () => {
  const shown = (what: string | undefined) => exam({ script: async () => ({ url, text: what, why: "no answer" }) })

  it("passes where it leads to a disk, a menu or the own disk", async () => {
    const menu = bootScript({ ...plan, kind: "menu", images: ["win11", "linux"], timeoutSeconds: 10 })
    for (const what of [disk, menu, bootScript({ ...plan, kind: "local" })])
      expect(await alarms(script, shown(what))).toEqual(["pass"])
  })

  it("has failed where it is refused, with the words of the screen, whole though they are broken into lines", async () => {
    const error = fail("IMAGE_FILE_NOT_FOUND", { path: `/srv/${"long ".repeat(30)}win11.raw`, image: "win11" })
    const [found] = await script.run(
      shown(bootScript({ ...plan, kind: "refused", error: error.toJSON(), fallback: true })),
      new AbortController().signal,
    )
    expect(found!.error).toMatchObject({ code: "SCRIPT_REFUSES", fix: error.fix })
    expect(found!.error!.cause).toContain("long long win11.raw is not there; it was moved")
  })

  it("has failed where none comes, or something else, and warns of a computer that nobody registered", async () => {
    expect(await alarms(script, shown(undefined))).toEqual(["fail SCRIPT_UNREACHABLE"])
    expect(await alarms(script, shown("<html>"))).toEqual(["fail SCRIPT_UNREACHABLE"])
    const unregistered = bootScript({ kind: "unregistered", mac: client.mac, ask: false, script: url })
    expect(await alarms(script, shown(unregistered))).toEqual(["warn SCRIPT_REFUSES"])
  })
})

describe("iSCSI", () => {
  it("passes with a boot sector, and warns of any other first block of the first disk", async () => {
    expect(await alarms(iscsi, exam())).toEqual(["pass"])
    expect(await alarms(iscsi, wired({ firstBlock: async () => Buffer.alloc(512) }))).toEqual([
      "pass",
      "warn DISK_NOT_BOOTABLE",
    ])
  })

  it("logs in where the script says, and else where its preview would be", async () => {
    const asked: Array<string> = []
    const firstBlock = async (_: unknown, target: string) => {
      asked.push(target)
      return bootSector()
    }
    await alarms(iscsi, wired({ firstBlock }))
    await alarms(iscsi, { ...wired({ firstBlock }), script: async () => ({ url, text: undefined, why: "no" }) })
    expect(asked).toEqual(Array(2).fill("iqn.2026-11.io.imagelink:pc-001:PREVIEW"))
  })

  it.each([
    [{}, "fail ISCSI_UNREACHABLE"],
    [{ status: 0x0203 }, "fail ISCSI_REFUSED"],
    [{ status: 0x0201 }, "skip"],
    [{ status: 0x0101, movedTo: "10.0.0.2:3260,1" }, "skip"],
    [{ loggedIn: true }, "fail DISK_UNREADABLE"],
  ])("a first block that is refused with %o: %s", async (refusal, expected) => {
    expect(await alarms(iscsi, wired({ firstBlock: rejecting(refusal) }))).toEqual(["pass", expected])
  })

  it("is not logged in to where nobody answers, or where the client has no disk", async () => {
    expect(await alarms(iscsi, wired({ discover: rejecting({}) }))).toEqual(["fail ISCSI_UNREACHABLE"])
    expect(await alarms(iscsi, wired({ discover: async () => [] }))).toEqual(["skip", "pass"])
    expect(await alarms(iscsi, exam({ client: async () => ({ ...client, links: [] }) }))).toEqual(["skip"])
    expect(await alarms(iscsi, exam({ client: async () => undefined }))).toEqual(["skip"])
  })
})

describe("checks", () => {
  const check = (name: string, run: Check["run"]): Check => ({ name, side: "server", run })

  it("are reported in the order of the table, whichever ends first; one that hangs or throws hides none", async () => {
    let progress = 0
    const aborted = Promise.withResolvers<string>()
    const hangs = check("hangs", (_, signal) => {
      signal.addEventListener("abort", () => aborted.resolve("aborted"))
      return new Promise(() => {})
    })
    const all = [
      hangs,
      check("throws", () => Promise.reject(new Error("unforeseen"))),
      check("refuses", () => Promise.reject(fail("CLOSED", { what: "the site" }))),
      check("passes", async () => [pass("one", "well"), pass("two", "well")]),
      check("finds nothing", async () => []),
    ]
    const found = await runChecks(all, exam(), { millisMax: 50, onProgress: (done) => (progress = done) })
    expect(found.map((one) => `${one.check} ${one.state} ${one.error?.code ?? one.subject}`)).toEqual([
      "hangs fail CHECK_TIMED_OUT",
      "throws fail INTERNAL_ERROR",
      "refuses fail CLOSED",
      "passes pass one",
      "passes pass two",
    ])
    expect([progress, await aborted.promise]).toEqual([5, "aborted"])
  })
})
