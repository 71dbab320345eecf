/** What is answered, by the section of the specification that says so; and what each kind of client is told. */
import { describe, expect, it } from "vitest"
import { bootProgramFor } from "../../adapters/dhcp/boot-programs.ts"
import { firmwareOf } from "../../adapters/dhcp/firmware.ts"
import { OPTION, text, u16 } from "../../adapters/dhcp/options.ts"
import type { DhcpPlan } from "../../adapters/dhcp/plan.ts"
import { type DhcpPort, reply } from "../../adapters/dhcp/reply.ts"
import { at, MAC, message, plan, type Sent, sends, shown } from "./support/messages.ts"

const hex = (s: string) => Buffer.from(s).toString("hex")
const answer = (sent: Sent, changes: Partial<DhcpPlan> = {}, port: DhcpPort = 67) => {
  const r = reply(message(sent), { ...plan, ...changes }, port)
  return r && { kind: r.kind, ...shown(r.message) }
}

describe("in full mode", () => {
  it("a DISCOVER is offered the recorded address with mask, lease and times (RFC 2131 §4.3.1)", () => {
    expect(answer({})).toEqual({
      kind: "offer",
      type: "offer",
      yiaddr: "10.0.0.11",
      siaddr: "0.0.0.0",
      file: "",
      options: {
        ...{ 54: "0a000001", 51: "00000e10", 58: "00000708", 59: "00000c4e" },
        ...{ 1: "ffffff00", 3: "0a0000fe", 6: "0a0000fd", 12: hex("PC-001"), 15: hex("lab.example"), 28: "0a0000ff" },
      },
    })
  })
  it("a DISCOVER of a machine without an address is met with silence", () => {
    expect(answer({}, { address: undefined })).toBeUndefined()
  })
  it("only what is asked for is told of the subnet, and the mask always (RFC 2132 §9.8)", () => {
    const options = answer({ options: [[OPTION.parameterList, Uint8Array.of(6)]] })?.options
    expect(Object.keys(options ?? {})).toEqual(["1", "6", "51", "54", "58", "59"])
  })

  const requests: ReadonlyArray<readonly [string, Sent, Partial<DhcpPlan>, string | undefined]> = [
    ["selecting, what was offered", { server: "10.0.0.1", requested: "10.0.0.11" }, {}, "ack"],
    ["selecting, another address", { server: "10.0.0.1", requested: "10.0.0.12" }, {}, "nak"],
    ["selecting, another server", { server: "10.0.0.2", requested: "10.0.0.11" }, {}, undefined],
    ["selecting, nothing", { server: "10.0.0.1" }, {}, undefined],
    ["init-reboot, its address", { requested: "10.0.0.11" }, {}, "ack"],
    ["init-reboot, one of another network", { requested: "192.168.7.7" }, {}, "nak"],
    [
      "init-reboot, when nobody knows it",
      { requested: "10.0.0.11" },
      { name: undefined, address: undefined },
      undefined,
    ],
    [
      "init-reboot, an address that a session uses",
      { requested: "10.0.0.10" },
      { liveAddress: at("10.0.0.10") },
      "ack",
    ],
    ["init-reboot, the new one beside a session", { requested: "10.0.0.11" }, { liveAddress: at("10.0.0.10") }, "ack"],
    ["renewing", { ciaddr: "10.0.0.11" }, {}, "ack"],
    ["renewing an address that changed", { ciaddr: "10.0.0.10" }, {}, "nak"],
    [
      "renewing an address that changed while in a session",
      { ciaddr: "10.0.0.10" },
      { liveAddress: at("10.0.0.10") },
      "ack",
    ],
    ["nothing at all", {}, {}, undefined],
  ]
  it.each(requests)("a REQUEST, %s (RFC 2131 §4.3.2)", (_, sent, changes, kind) => {
    expect(answer({ type: "request", ...sent }, changes)?.kind).toBe(kind)
  })
  it("an ACK keeps the client's own address in ciaddr, a NAK has none and goes to everybody", () => {
    expect(reply(message({ type: "request", ciaddr: "10.0.0.11" }), plan)?.message.ciaddr).toBe(at("10.0.0.11"))
    const nak = reply(message({ type: "request", ciaddr: "10.0.0.10" }), plan)!.message
    expect([nak.ciaddr, nak.yiaddr, nak.broadcast]).toEqual([0, 0, true])
    expect([...nak.options.keys()]).toEqual([53, 54, 56])
  })
  it("an INFORM is told everything but an address and a lease (RFC 2131 §4.3.5)", () => {
    const told = answer({ type: "inform", ciaddr: "10.0.0.77" })
    expect([told?.kind, told?.yiaddr, told?.options[51]]).toEqual(["ack", "0.0.0.0", undefined])
    expect(told?.options[6]).toBe("0a0000fd")
    expect(answer({ type: "inform" })).toBeUndefined()
  })
  it.each(["decline", "release", "offer", "ack", "nak"] as const)("a %s is not answered", (type) => {
    expect(answer({ type, ciaddr: "10.0.0.11" })).toBeUndefined()
  })
  it("the client identifier and the relay's option come back as they came (RFC 6842 §3, RFC 3046 §2.2)", () => {
    const options = [
      [OPTION.relayAgent, Uint8Array.of(1, 2, 9, 9)],
      [OPTION.clientId, Uint8Array.of(1, 2, 3)],
    ] as const
    const told = answer({ options, giaddr: "10.0.0.200" })
    expect([told?.options[82], told?.options[61]]).toEqual(["01020909", "010203"])
    expect([...reply(message({ options }), plan)!.message.options.keys()].slice(-2)).toEqual([61, 82])
  })
})

describe("a machine that boots", () => {
  const boot = (sent: ReadonlyArray<readonly [number, Uint8Array]>, changes: Partial<DhcpPlan> = {}) => {
    const { siaddr, file, options } = answer({ options: sent }, changes)!
    const { 43: o43, 60: o60, 66: o66, 67: o67, 97: o97, 175: o175 } = options
    return { siaddr, file, o43, o60, o66, o67, o97, o175 }
  }
  it("with BIOS gets undionly by TFTP, and is told to take it", () => {
    expect(boot(sends.biosRom)).toMatchObject({
      ...{ siaddr: "10.0.0.1", file: "undionly.kpxe", o66: hex("10.0.0.1"), o67: hex("undionly.kpxe") },
      ...{ o60: hex("PXEClient"), o43: "060108ff", o97: "00785634123412341212341234567890ab" },
    })
  })
  it("with UEFI gets snponly by TFTP", () => expect(boot(sends.uefiPxe).file).toBe("snponly.efi"))
  it("with UEFI HTTP Boot gets the URL of the same", () => {
    const url = "http://10.0.0.1:8080/snponly.efi"
    expect(boot(sends.uefiHttp)).toMatchObject({ file: url, o67: hex(url), o60: hex("HTTPClient"), o43: undefined })
    expect(boot(sends.uefiHttp, { boot: { ...plan.boot, http: undefined } }).file).toBe("")
  })
  it("with iPXE gets its script, and need not wait for another server", () => {
    const model = `product=\${product:uristring}&manufacturer=\${manufacturer:uristring}`
    const url = `http://10.0.0.1:8080/boot/52-54-00-00-00-01.ipxe?${model}`
    expect(boot(sends.ipxe)).toMatchObject({
      siaddr: "10.0.0.1",
      file: url,
      o67: hex(url),
      o175: "b00101ff",
      o43: undefined,
    })
  })
  it("is iPXE also by an RFC 3004 user class, and by option 175 alone", () => {
    const asClass = [OPTION.userClass, Uint8Array.of(4, ...Buffer.from("iPXE"))] as const
    for (const mark of [asClass, [OPTION.ipxe, new Uint8Array()] as const])
      expect(boot([...sends.biosRom, mark]).o175).toBe("b00101ff")
    expect(boot([...sends.biosRom, [OPTION.userClass, text("iPXE2")]]).o175).toBeUndefined()
  })
  it("gets the program that the operator chose", () => {
    expect(boot(sends.uefiPxe, { program: "ipxe.efi" }).file).toBe("ipxe.efi")
    expect(boot(sends.uefiHttp, { program: "ipxe.efi" }).file).toBe("http://10.0.0.1:8080/ipxe.efi")
  })
  it("gets an address but no file where nothing is served", () => {
    const none = { tftp: undefined, http: undefined, programs: [] }
    expect(boot(sends.biosRom, { boot: none })).toMatchObject({ siaddr: "0.0.0.0", file: "", o60: undefined })
  })
  it("hears which boot item it was given when it asks for one (Intel PXE 2.1 §2.2.4)", () => {
    expect(boot([...sends.biosRom, [OPTION.vendorSpecific, Uint8Array.of(71, 4, 0, 0, 0, 0, 255)]]).o43).toBe(
      "06010847" + "0400000000ff",
    )
  })
  it("long names go where they fit", () => {
    const program = "a".repeat(128)
    expect(boot(sends.biosRom, { program })).toMatchObject({ file: "", o67: hex(program) })
    expect(boot(sends.biosRom, { program: "a".repeat(127) }).file).toBe("a".repeat(127))
  })
})

describe("beside another server (proxy mode)", () => {
  const proxy = { mode: "proxy", address: undefined } as const
  it("firmware is offered a file and no address", () => {
    expect(answer({ options: sends.biosRom }, proxy)).toMatchObject({
      ...{ kind: "offer", yiaddr: "0.0.0.0", siaddr: "10.0.0.1", file: "undionly.kpxe" },
      options: { 60: hex("PXEClient"), 43: "060108ff" },
    })
    expect(answer({ options: sends.biosRom }, proxy)?.options).not.toHaveProperty("51")
  })
  it("iPXE is told its script, with a server address, and nothing of other servers", () => {
    const told = answer({ options: sends.ipxe }, proxy)
    expect([told?.siaddr, told?.options[175], told?.options[60]]).toEqual(["10.0.0.1", undefined, hex("PXEClient")])
    expect(told?.file).toContain("/boot/")
  })
  it.each(["request", "inform"] as const)("port 4011 answers a %s, whatever server it names", (type) => {
    expect(answer({ type, ciaddr: "10.0.0.50", options: sends.uefiPxe }, proxy, 4011)).toMatchObject({
      ...{ kind: "ack", yiaddr: "0.0.0.0", file: "snponly.efi" },
    })
    expect(answer({ options: sends.uefiPxe }, proxy, 4011)).toBeUndefined()
    expect(answer({ type, options: sends.uefiPxe }, proxy)).toBeUndefined()
  })
  it("a running system is not answered", () => expect(answer({ options: sends.system }, proxy)).toBeUndefined())
})

describe("firmware", () => {
  it("says its architecture in option 93, or else in its vendor class", () => {
    expect(firmwareOf(message({ options: sends.uefiPxe })).architecture).toBe(7)
    expect(
      firmwareOf(message({ options: [[OPTION.vendorClass, text("PXEClient:Arch:00011:UNDI:003000")]] })).architecture,
    ).toBe(11)
    expect(firmwareOf(message({ options: sends.system }))).toMatchObject({ kind: "system", architecture: undefined })
  })
  it("says who it is as SMBIOS writes it: three fields little-endian (RFC 4578 §2.3)", () => {
    expect(firmwareOf(message({ options: sends.biosRom })).machineId).toBe("12345678-1234-1234-1234-1234567890ab")
  })
  const programs: ReadonlyArray<readonly [number, string | undefined]> = [
    ...([
      [0, "undionly.kpxe"],
      [6, "i386/snponly.efi"],
      [7, "snponly.efi"],
      [9, "snponly.efi"],
    ] as const),
    ...([
      [10, "arm32/snponly.efi"],
      [11, "arm64/snponly.efi"],
      [15, "i386/snponly.efi"],
      [16, "snponly.efi"],
    ] as const),
    ...([
      [19, "arm64/snponly.efi"],
      [20, "undionly.kpxe"],
      [27, "riscv64/snponly.efi"],
      [99, undefined],
    ] as const),
  ]
  it.each(programs)("of architecture %i boots %s", (n, program) => {
    const firmware = firmwareOf(
      message({
        options: [
          [OPTION.vendorClass, text("PXEClient")],
          [OPTION.architecture, u16(n)],
        ],
      }),
    )
    expect(bootProgramFor(firmware, { mac: MAC })?.program).toBe(program)
  })
})
