/** What the boot tracker is told of DHCP: who was offered an address, and who was not. */
import type { BootSign } from "../../core/runtime/boot-signs.ts"
import { addressText } from "./address.ts"
import { describeDhcpEvent } from "./describe-event.ts"
import type { Firmware } from "./firmware.ts"
import type { DhcpEvent } from "./server.ts"

/** IANA, Processor Architecture Types. */
const architectures: Readonly<Record<number, string>> = {
  0: "BIOS",
  6: "UEFI x86",
  7: "UEFI x64",
  9: "UEFI x64",
  10: "UEFI ARM 32",
  11: "UEFI ARM 64",
  15: "UEFI x86, HTTP",
  16: "UEFI x64, HTTP",
  17: "UEFI x64, HTTP",
  18: "UEFI ARM 32, HTTP",
  19: "UEFI ARM 64, HTTP",
  20: "BIOS, HTTP",
  21: "U-Boot ARM 32",
  22: "U-Boot ARM 64",
  25: "UEFI RISC-V 32",
  27: "UEFI RISC-V 64",
}

const CHARS = 64

/** `UEFI x64 (PXEClient:Arch:00007:UNDI:003016)` */
export const firmwareText = ({ kind, architecture, vendorClass }: Firmware): string => {
  const known = architecture === undefined ? undefined : (architectures[architecture] ?? `type ${architecture}`)
  const what = `${kind === "ipxe" ? "iPXE, " : ""}${known ?? "unknown"}`
  const said = vendorClass.replaceAll(/[^\x20-\x7e]/gu, "?").slice(0, CHARS)
  return said === "" ? what : `${what} (${said})`
}

/** A running system's own DHCP says nothing of a boot. */
export const dhcpBootSign = (e: DhcpEvent): BootSign | undefined => {
  switch (e.type) {
    case "answered": {
      const { mac, what, firmware, client } = e
      if (firmware.kind === "system" || firmware.isProbe || what === "nak") return undefined
      return {
        type: "offered",
        mac,
        address: client === 0 ? undefined : addressText(client),
        by: firmware.kind === "ipxe" ? "ipxe" : "firmware",
        discover: what === "offer",
        firmware: firmwareText(firmware),
      }
    }
    case "chose":
      return { type: "located", mac: e.mac, address: addressText(e.address) }
    case "full":
    case "taken":
    case "notWritten":
      return { type: "problem", mac: e.mac, text: describeDhcpEvent(e).text }
    default:
      return undefined
  }
}
