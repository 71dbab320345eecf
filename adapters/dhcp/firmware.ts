/**
 * What sends a DHCP message: firmware that boots over the network, iPXE, or a running system; told by its options alone.
 *
 * **Details** iPXE is known by its user class before the architecture is looked at, or it would be given itself again for ever. It writes
 * the class as a bare string, where RFC 3004 §4 wants each preceded by its length; both are taken. A machine that says neither
 * PXEClient nor HTTPClient is a running system, and needs no boot file.
 */
import type { DhcpMessage } from "./message.ts"
import { OPTION, readNumber16, readText, within } from "./options.ts"

export type FirmwareKind = "ipxe" | "pxe" | "http" | "u-boot" | "system"

export interface Firmware {
  readonly kind: FirmwareKind
  /** RFC 4578 §2.1 with its errata, by the numbers in IANA's "Processor Architecture Types"; undefined where it does not say. */
  readonly architecture: number | undefined
  /** Option 60 as sent. */
  readonly vendorClass: string
  /** RFC 4578 §2.3; in the order of bytes that SMBIOS shows. */
  readonly machineId: string | undefined
  /** What iPXE says that it can do: the codes of its encapsulated option 175. */
  readonly ipxeFeatures: ReadonlySet<number>
  /** No machine, but somebody who wants to see what one would be told. */
  readonly isProbe?: true
}

/** User class (option 77) of whoever only looks. */
export const PROBE = "Imagelink doctor"

export const firmwareOf = ({ options }: DhcpMessage): Firmware => {
  const vendorClass = readText(options.get(OPTION.vendorClass)) ?? ""
  const ipxe = options.get(OPTION.ipxe)
  return {
    kind: kindOf(vendorClass, ipxe !== undefined || isIpxe(options.get(OPTION.userClass))),
    architecture: readNumber16(options.get(OPTION.architecture)) ?? architectureIn(vendorClass),
    vendorClass,
    machineId: machineIdOf(options.get(OPTION.machineId)),
    ipxeFeatures: new Set(ipxe === undefined ? [] : within(ipxe).keys()),
    ...(readText(options.get(OPTION.userClass)) === PROBE ? { isProbe: true } : {}),
  }
}

const kindOf = (vendorClass: string, ipxe: boolean): FirmwareKind => {
  if (ipxe) return "ipxe"
  if (vendorClass.startsWith("PXEClient")) return "pxe"
  if (vendorClass.startsWith("HTTPClient")) return "http"
  return vendorClass.startsWith("U-Boot") ? "u-boot" : "system"
}

const isIpxe = (userClass: Uint8Array | undefined): boolean => {
  if (userClass === undefined) return false
  const said = Buffer.from(userClass).toString("latin1")
  return said === "iPXE" || said === "\x04iPXE"
}

/** `PXEClient:Arch:00007:UNDI:003016` (Intel PXE 2.1 §2.4.1). */
const architectureIn = (vendorClass: string): number | undefined => {
  const [, digits] = /^(?:PXE|HTTP)Client:Arch:(\d{5})/.exec(vendorClass) ?? []
  return digits === undefined ? undefined : Number(digits)
}

/** Type 0 and a UUID whose first three fields are little-endian. */
const machineIdOf = (value: Uint8Array | undefined): string | undefined => {
  if (value?.length !== 17 || value[0] !== 0) return undefined
  const hex = (...at: ReadonlyArray<number>) => at.map((i) => value[i]!.toString(16).padStart(2, "0")).join("")
  return [hex(4, 3, 2, 1), hex(6, 5), hex(8, 7), hex(9, 10), hex(11, 12, 13, 14, 15, 16)].join("-")
}
