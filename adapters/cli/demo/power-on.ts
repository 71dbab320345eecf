/**
 * A simulated PC from power on to its disk, in the steps and with the messages of a UEFI firmware and the iPXE that it loads.
 *
 *     DHCP ─► TFTP ─► DHCP again, as iPXE ─► HTTP: the script ─► iSCSI
 */
import type { Stages } from "./stages.ts"
import type { DiskAddress, DiskClient, Wires } from "./wires.ts"

export interface Pc {
  readonly name: string
  readonly mac: string
}

export interface Booted {
  /** Its own. */
  readonly address: string
  readonly disk: DiskClient
  /** Logs in once more, as the operating system does that took over from the firmware. */
  readonly again: () => Promise<DiskClient>
}

/** `program`: what the boot program must be. */
export const powerOn = async (pc: Pc, wires: Wires, stages: Stages, program: Uint8Array): Promise<Booted> => {
  const { name, mac } = pc
  const firmware = await stages.time("dhcp", 0, () => wires.dhcp(mac, "firmware"))
  const loaded = await stages.time("tftp", program.length, () => wires.tftp(firmware.address, firmware.file))
  if (Buffer.compare(loaded, program) !== 0) stages.mismatch("tftp", `${name}: ${firmware.file} has other bytes`)
  const ipxe = await stages.time("ipxe dhcp", 0, () => wires.dhcp(mac, "ipxe"))
  if (ipxe.address !== firmware.address)
    stages.mismatch("ipxe dhcp", `${name}: it was given ${ipxe.address}, after ${firmware.address}`)
  const script = await stages.time("script", 0, () => wires.http(ipxe.address, ipxe.file))
  const at = diskOf(script)
  if (at === undefined) {
    stages.mismatch("script", `${name}: its script opens no disk: ${script}`)
    throw new Error("no disk")
  }
  const { address } = ipxe
  const login = () => wires.disk(address, at)
  return { address, disk: await stages.time("login", 0, login), again: login }
}

/** The line that iPXE would boot from: `sanboot iscsi:HOST::PORT:LUN:TARGET` (RFC 4173 §5). */
export const diskOf = (script: string): DiskAddress | undefined => {
  const initiator = /^set initiator-iqn (\S+)$/m.exec(script)?.[1]
  const [, host, port, lun, target] = /^sanboot (?:.* )?iscsi:([^:]+)::(\d*):([\da-f]*):(\S+)/m.exec(script) ?? []
  if (initiator === undefined || host === undefined || target === undefined) return undefined
  return { host, port: port ? Number(port) : 3260, lun: lun ? Number.parseInt(lun, 16) : 0, target, initiator }
}
