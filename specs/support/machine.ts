/**
 * A PC in QEMU without KVM: its firmware boots over the network, and what it prints on the serial port is what the spec sees.
 *
 * **Details** Everything is bounded: a machine that does not end by itself is ended. The BIOS machine boots with the iPXE in its network card's ROM; the
 * UEFI machine with OVMF's own network stack (`romfile=` empty).
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { copyFileSync, existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll } from "vitest"
import type { Network } from "./network.ts"

export interface MachineInput {
  readonly folder: string
  readonly network: Network
  readonly mac: string
  readonly firmware: "bios" | "uefi"
  readonly seconds: number
}

export interface MachineRun {
  /** Of QEMU; null where it was ended because its time was over. */
  readonly status: number | null
  readonly serial: string
}

const OVMF = "/usr/share/OVMF"
const running = new Set<ChildProcess>()
afterAll(() => {
  for (const child of running) child.kill("SIGKILL")
})

let made = 0

const firmwareOptions = ({ folder, firmware }: MachineInput, n: number): ReadonlyArray<string> => {
  if (firmware === "bios") return []
  const variables = join(folder, `vars-${n}.fd`)
  copyFileSync(`${OVMF}/OVMF_VARS_4M.fd`, variables)
  return [
    ...["-drive", `if=pflash,format=raw,unit=0,readonly=on,file=${OVMF}/OVMF_CODE_4M.fd`],
    ...["-drive", `if=pflash,format=raw,unit=1,file=${variables}`],
  ]
}

/** Runs until it ends itself (`isa-debug-exit`), says what `until` waits for, or its time is over. */
export const runMachine = async (input: MachineInput, until?: RegExp): Promise<MachineRun> => {
  const { folder, network, mac, firmware, seconds } = input
  const n = made++
  const serial = join(folder, `serial-${n}`)
  const card = `virtio-net-pci,netdev=n0,mac=${mac}${firmware === "uefi" ? ",romfile=" : ""}`
  const [file, ...args] = [
    ...network.inside,
    ...["qemu-system-x86_64", "-M", firmware === "uefi" ? "q35" : "pc,graphics=off", "-accel", "tcg", "-m", "256"],
    ...["-display", "none", "-monitor", "none", "-nodefaults", "-serial", `file:${serial}`],
    ...["-device", "isa-debug-exit,iobase=0xf4,iosize=4"],
    ...["-netdev", `tap,id=n0,ifname=${network.tap()},script=no,downscript=no`, "-device", `${card},bootindex=1`],
    ...firmwareOptions(input, n),
  ]
  const child = spawn(file!, args, { stdio: ["ignore", "ignore", "pipe"] })
  running.add(child)
  let complaint = ""
  child.stderr.on("data", (chunk: Buffer) => (complaint += chunk))
  const said = () => (existsSync(serial) ? readFileSync(serial, "latin1") : "")
  let late = false
  const end = Date.now() + seconds * 1000
  const watch = setInterval(() => {
    late = Date.now() > end
    if (late || until?.test(said())) child.kill("SIGKILL")
  }, 250)
  const [status] = (await once(child, "close")) as [number | null]
  clearInterval(watch)
  running.delete(child)
  return { status, serial: `${said()}${complaint}${late ? "\n(its time was over)" : ""}` }
}
