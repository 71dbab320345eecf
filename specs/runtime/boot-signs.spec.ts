/** What adapters tell the boot tracker, in its words. */
import { describe, expect, it } from "vitest"
import { dhcpBootSign, firmwareText } from "../../adapters/dhcp/boot-sign.ts"
import { firmwareOf } from "../../adapters/dhcp/firmware.ts"
import { OPTION, text } from "../../adapters/dhcp/options.ts"
import { httpBootSign } from "../../adapters/http/boot-sign.ts"
import { tftpBootSign } from "../../adapters/tftp/boot-sign.ts"
import { fail } from "../../core/errors.ts"
import { MAC, message, sends } from "../dhcp/support/messages.ts"

const firmware = (who: keyof typeof sends) => firmwareOf(message({ options: sends[who] }))
const answered = (who: keyof typeof sends, what: string, client = 0x0a00000b) =>
  dhcpBootSign({ type: "answered", mac: MAC, what, firmware: firmware(who), client, to: "255.255.255.255:68" })

describe("DHCP tells", () => {
  it("of firmware and of iPXE that were answered, with their address where it is known", () => {
    expect(answered("uefiPxe", "offer")).toEqual({
      type: "offered",
      mac: MAC,
      address: "10.0.0.11",
      by: "firmware",
      discover: true,
      firmware: "UEFI x64 (PXEClient:Arch:00007:UNDI:003000)",
    })
    expect(answered("ipxe", "ack", 0)).toMatchObject({ address: undefined, by: "ipxe", discover: false })
  })

  it("nothing of doctor, who is no machine", () => {
    const options = [...sends.uefiPxe, [OPTION.userClass, text("Imagelink doctor")]] as const
    const looking = firmwareOf(message({ options }))
    const answer = { type: "answered", mac: MAC, what: "offer", client: 0x0a00000b, to: "255.255.255.255:68" } as const
    expect([looking.kind, looking.isProbe]).toEqual(["pxe", true])
    expect(dhcpBootSign({ ...answer, firmware: looking })).toBeUndefined()
  })

  it("nothing of running systems, nor of refusals", () => {
    expect([answered("system", "ack"), answered("uefiPxe", "nak")]).toEqual([undefined, undefined])
    expect(dhcpBootSign({ type: "ignored", mac: MAC, why: "strange" })).toBeUndefined()
  })

  it("which address of another server a PC takes", () =>
    expect(dhcpBootSign({ type: "chose", mac: MAC, address: 0x0a00000b })).toEqual({
      type: "located",
      mac: MAC,
      address: "10.0.0.11",
    }))

  it("of addresses that are not to be had", () => {
    for (const e of [
      { type: "full", mac: MAC },
      { type: "taken", mac: MAC, name: "PC-001", address: 1, holder: "52:54:00:00:00:02" },
      { type: "notWritten", mac: MAC, why: "ENOSPC" },
    ] as const)
      expect(dhcpBootSign(e)).toMatchObject({ type: "problem", mac: MAC, text: expect.stringContaining("dhcp ") })
  })

  it("firmware by what it is and what it says, in one short line", () => {
    expect(firmwareText(firmware("biosRom"))).toBe("BIOS (PXEClient:Arch:00000:UNDI:002001)")
    expect(firmwareText(firmware("uefiHttp"))).toBe("UEFI x64, HTTP (HTTPClient:Arch:00016:UNDI:003000)")
    expect(firmwareText(firmware("ipxe"))).toBe("iPXE, BIOS (PXEClient:Arch:00000:UNDI:002001)")
    const odd = { ...firmware("biosRom"), architecture: 99, vendorClass: `PXEClient\n${"x".repeat(100)}` }
    expect(firmwareText(odd)).toBe(`type 99 (PXEClient?${"x".repeat(54)})`)
    expect(firmwareText({ ...odd, architecture: undefined, vendorClass: "" })).toBe("unknown")
  })
})

describe("TFTP tells", () => {
  const about = { client: "10.0.0.11:2070", file: "snponly.efi" }

  it("when a file begins and when it has arrived, by the client's address", () => {
    const address = "10.0.0.11"
    expect(tftpBootSign({ ...about, type: "started", sizeBytes: 1, answers: [] })).toEqual({
      type: "fetching",
      address,
      over: "tftp",
    })
    expect(tftpBootSign({ ...about, type: "done", sizeBytes: 1 })).toEqual({ type: "fetched", address, over: "tftp" })
    expect(tftpBootSign({ ...about, type: "unconfirmed", sizeBytes: 1, seconds: 31 })).toMatchObject({
      type: "fetched",
    })
    expect(tftpBootSign({ ...about, client: "[fd00::51]:2070", type: "done", sizeBytes: 1 })).toMatchObject({
      address: "fd00::51",
    })
  })

  it("what goes wrong, but not that a client ended what it only asked the size of", () => {
    expect(tftpBootSign({ ...about, type: "aborted", code: 8, message: "" })).toBeUndefined()
    expect(tftpBootSign({ ...about, type: "refused", message: "there is no such file" })).toEqual({
      type: "problem",
      address: "10.0.0.11",
      text: "tftp 10.0.0.11:2070 snponly.efi: there is no such file",
    })
    const error = fail("TFTP_TIMEOUT", { ...about, lastBlock: 1, blocks: 2, seconds: 8 })
    expect(tftpBootSign({ ...about, type: "timeout", error })).toMatchObject({ type: "problem" })
    expect(tftpBootSign({ type: "malformed", client: "10.0.0.11:1", message: "" })).toBeUndefined()
  })
})

describe("HTTP tells", () => {
  it("of boot programs that were sent or are not there, and not of scripts or of heads", () => {
    const sent = (what: string) => httpBootSign({ type: "sent", client: "::ffff:10.0.0.11", what, bytes: 1 })
    expect(sent("GET /snponly.efi")).toEqual({ type: "fetched", address: "10.0.0.11", over: "http" })
    for (const what of ["HEAD /snponly.efi", "GET /boot/52-54-00-00-00-01.ipxe?local", "GET /autoexec.ipxe"])
      expect(sent(what)).toBeUndefined()
    expect(httpBootSign({ type: "refused", client: "10.0.0.11", what: "GET /snponly.efi", status: 404 })).toEqual({
      type: "problem",
      address: "10.0.0.11",
      text: "http 10.0.0.11 GET /snponly.efi: 404",
    })
  })
})
