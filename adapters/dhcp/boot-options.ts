/**
 * The part of an answer that makes a machine boot: which file, from where, and what its firmware wants to see beside that.
 *
 * | who asks            | file                                       | and                                                   |
 * | ------------------- | ------------------------------------------ | ----------------------------------------------------- |
 * | firmware (PXE)      | a boot program, by TFTP                    | 60 `PXEClient`, 43 "take the file that is named", 97 echoed |
 * | firmware (HTTP)     | the same program's URL                     | 60 `HTTPClient`, 97 echoed                            |
 * | iPXE                | the URL of this machine's script           | 175: no need to wait for another server, in full mode; else 60 |
 * | a running system    | nothing                                    |                                                       |
 *
 * **Details** Option 43 with PXE_DISCOVERY_CONTROL bit 3 (Intel PXE 2.1 §3, table 2-1): "if a boot file name is present in the initial DHCP or ProxyDHCP offer
 * packet, download the boot file (do not prompt/menu/discover)". Without 60 in the answer some ROMs take no notice of it; without 43 some look for a menu.
 */
import { MODEL_QUERY } from "../../core/runtime/machine-model.ts"
import { type Address, addressText } from "./address.ts"
import { type BootProgramRow, bootProgramFor } from "./boot-programs.ts"
import type { Firmware } from "./firmware.ts"
import type { DhcpMessage } from "./message.ts"
import { encapsulated, OPTION, text, u8, within } from "./options.ts"
import type { DhcpPlan } from "./plan.ts"

export interface BootPart {
  readonly siaddr: Address
  readonly file: string
  readonly options: ReadonlyArray<readonly [number, Uint8Array]>
}

const nothing: BootPart = { siaddr: 0, file: "", options: [] }

/** PXE_DISCOVERY_CONTROL = 8. */
const takeTheFile = encapsulated([[6, u8(8)]])
/** `ipxe.no-pxedhcp` = 1; saves iPXE's wait for a ProxyDHCP offer. */
const noPxeDhcp = encapsulated([[176, u8(1)]])

export const bootPart = (request: DhcpMessage, firmware: Firmware, plan: DhcpPlan): BootPart => {
  switch (firmware.kind) {
    case "system":
      return nothing
    case "ipxe":
      return scriptPart(plan)
    case "http":
      return httpPart(request, firmware, plan)
    case "pxe":
    case "u-boot":
      return tftpPart(request, firmware, plan)
  }
}

/**
 * A script is fetched by HTTP; without HTTP, iPXE finds `autoexec.ipxe` beside its own file and needs no name. Beside another server, iPXE takes no notice of
 * an offer without option 60.
 */
const scriptPart = ({ mode, mac, boot: { http }, server }: DhcpPlan): BootPart => {
  const file = http === undefined ? "" : `${http}/boot/${mac.replaceAll(":", "-")}.ipxe?${MODEL_QUERY}`
  const beside =
    mode === "full" ? ([OPTION.ipxe, noPxeDhcp] as const) : ([OPTION.vendorClass, text("PXEClient")] as const)
  return { siaddr: server, file, options: [beside, ...nameOf(file)] }
}

const httpPart = (
  request: DhcpMessage,
  firmware: Firmware,
  { boot, mac, program, product, server }: DhcpPlan,
): BootPart => {
  const file = program ?? bootProgramFor(firmware, { mac, product }, boot.programs)?.program
  if (boot.http === undefined || file === undefined) return nothing
  const url = `${boot.http}/${file}`
  const options = [[OPTION.vendorClass, text("HTTPClient")] as const, ...machineIdOf(request), ...nameOf(url)]
  return { siaddr: server, file: url, options }
}

const tftpPart = (request: DhcpMessage, firmware: Firmware, { boot, mac, program, product }: DhcpPlan): BootPart => {
  const row = bootProgramFor(firmware, { mac, product }, boot.programs)
  const file = program ?? row?.program
  if (boot.tftp === undefined || file === undefined) return nothing
  const server = text(addressText(boot.tftp))
  return {
    siaddr: boot.tftp,
    file,
    options: [
      ...(firmware.kind === "pxe" ? pxeOptions(request, row) : []),
      [OPTION.bootServer, server],
      ...nameOf(file),
    ],
  }
}

const pxeOptions = (
  request: DhcpMessage,
  row: BootProgramRow | undefined,
): ReadonlyArray<readonly [number, Uint8Array]> => {
  return [
    [OPTION.vendorClass, text("PXEClient")],
    [OPTION.vendorSpecific, row?.vendorSpecific ?? vendorSpecificFor(request)],
    ...machineIdOf(request),
  ]
}

/** As it came; some firmware sends none (RFC 4578 §2.3). */
const machineIdOf = ({ options }: DhcpMessage): ReadonlyArray<readonly [number, Uint8Array]> => {
  const machineId = options.get(OPTION.machineId)
  return machineId === undefined ? [] : [[OPTION.machineId, machineId]]
}

/** A ROM that asked for a boot item hears which one it was given (PXE_BOOT_ITEM, §2.2.4). */
const vendorSpecificFor = ({ options }: DhcpMessage): Uint8Array => {
  const asked = options.get(OPTION.vendorSpecific)
  const item = asked === undefined ? undefined : within(asked).get(71)
  return item === undefined
    ? takeTheFile
    : encapsulated([
        [6, u8(8)],
        [71, item],
      ])
}

/** The name is in the `file` field too; option 67 carries what is longer than that. */
const nameOf = (file: string): ReadonlyArray<readonly [number, Uint8Array]> =>
  file === "" ? [] : [[OPTION.bootFile, text(file)]]
