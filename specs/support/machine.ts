/**
 * A PC in QEMU without KVM: its firmware boots over the network, and what it prints on the serial port is what the spec sees.
 *
 * **Details** Everything is bounded: a machine that does not end by itself is ended. The BIOS machine boots with the iPXE in its network card's ROM; the
 * UEFI machine with OVMF's own network stack (`romfile=` empty).
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { copyFileSync, existsSync, readFileSync } from "node:fs"
import { connect } from "node:net"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll } from "vitest"
import type { Network } from "./network.ts"
import { type Requirement, requires, skipAloud } from "./requires.ts"

export interface MachineInput {
  readonly folder: string
  readonly network: Network
  readonly mac: string
  readonly firmware: "bios" | "uefi"
  /** After so many it is ended. */
  readonly seconds: number
  /** The tap that it is at; else a new one. */
  readonly tap?: string
  /** More words for QEMU. */
  readonly options?: ReadonlyArray<string>
}

export interface MachineRun {
  /** Of QEMU; null where it was ended. */
  readonly status: number | null
  readonly serial: string
}

export interface Machine {
  readonly serial: () => string
  /** Settles when it has said this; what it says then. @throws where it ends before, or its time is over */
  said(what: RegExp): Promise<string>
  /** A command of QMP, such as `system_reset`. */
  command(execute: string, words?: object): Promise<void>
  /** When it ends by itself, or its time is over. */
  readonly ended: Promise<MachineRun>
  kill(): Promise<MachineRun>
}

const OVMF = "/usr/share/OVMF"
const running = new Set<ChildProcess>()
afterAll(() => {
  for (const child of running) child.kill("SIGKILL")
})

export const requiresMachine = (spec: string, firmware: MachineInput["firmware"] = "bios"): Requirement => {
  const qemu = requires("qemu-system-x86_64", "qemu-system-x86", spec)
  if (qemu.skip || firmware === "bios") return qemu
  return existsSync(`${OVMF}/OVMF_CODE_4M.fd`) ? qemu : skipAloud(spec, "needs UEFI firmware (Debian package ovmf)")
}

let made = 0

/** The words for QEMU that make it a PC with this firmware, which keeps its variables in a file of its own. */
export const firmwareOptions = (firmware: MachineInput["firmware"], variables: string): ReadonlyArray<string> => {
  if (firmware === "bios") return ["-M", "pc,graphics=off"]
  copyFileSync(`${OVMF}/OVMF_VARS_4M.fd`, variables)
  return [
    ...["-M", "q35"],
    ...["-drive", `if=pflash,format=raw,unit=0,readonly=on,file=${OVMF}/OVMF_CODE_4M.fd`],
    ...["-drive", `if=pflash,format=raw,unit=1,file=${variables}`],
  ]
}

/** The file of a ROM that is no iPXE, instead of QEMU's own, which is one (specs/wire/dhcp/capture.ts says how to build it). */
const plainRom = process.env.IMAGELINK_PLAIN_ROM
export const romIsIpxe = plainRom === undefined

/** Of its network card, as a word more for the device. */
export const romOf = (firmware: MachineInput["firmware"]): string => {
  if (firmware === "uefi") return ",romfile="
  return plainRom === undefined ? "" : `,romfile=${plainRom}`
}

/** Powers a machine on. */
export const startMachine = (input: MachineInput): Machine => {
  const { folder, network, mac, firmware, seconds, tap = network.tap(), options = [] } = input
  const n = made++
  const serial = join(folder, `serial-${n}`)
  const control = join(folder, `qmp-${n}`)
  const card = `virtio-net-pci,netdev=n0,mac=${mac}${romOf(firmware)}`
  const [file, ...args] = [
    ...network.inside,
    ...["qemu-system-x86_64", "-accel", "tcg", "-m", "256"],
    ...firmwareOptions(firmware, join(folder, `vars-${n}.fd`)),
    ...["-display", "none", "-monitor", "none", "-nodefaults", "-serial", `file:${serial}`],
    ...["-qmp", `unix:${control},server=on,wait=off`],
    ...["-device", "isa-debug-exit,iobase=0xf4,iosize=4"],
    ...["-netdev", `tap,id=n0,ifname=${tap},script=no,downscript=no`, "-device", `${card},bootindex=1`],
    ...options,
  ]
  const child = spawn(file!, args, { stdio: ["ignore", "ignore", "pipe"] })
  running.add(child)
  let complaint = ""
  child.stderr.on("data", (chunk: Buffer) => (complaint += chunk))
  const said = () => (existsSync(serial) ? readFileSync(serial, "latin1") : "")
  let late = false
  const end = setTimeout(() => {
    late = true
    child.kill("SIGKILL")
  }, seconds * 1000)
  const ended = once(child, "close").then(([status]): MachineRun => {
    clearTimeout(end)
    running.delete(child)
    return { status, serial: `${said()}${complaint}${late ? "\n(its time was over)" : ""}` }
  })
  return {
    serial: said,
    async said(what) {
      while (running.has(child)) {
        if (what.test(said())) return said()
        await sleep(100)
      }
      if (what.test(said())) return said()
      throw new Error(`the machine did not say ${what}: ${(await ended).serial}`)
    },
    async command(execute, words) {
      await tell(control, execute, words)
    },
    ended,
    kill() {
      child.kill("SIGKILL")
      return ended
    },
  }
}

/** Runs until it ends itself (`isa-debug-exit`), or its time is over. */
export const runMachine = (input: MachineInput): Promise<MachineRun> => startMachine(input).ended

/** QMP: a greeting, the negotiation, the command; each is answered by a line. Answers what the command returned. */
export const tell = async (path: string, execute: string, words: object = {}): Promise<unknown> => {
  const socket = connect(path)
  const lines: Array<string> = []
  let rest = ""
  socket.on("data", (chunk: Buffer) => {
    const parts = (rest + chunk).split("\n")
    rest = parts.pop()!
    lines.push(...parts)
  })
  await once(socket, "connect")
  socket.write(`{"execute":"qmp_capabilities"}\n${JSON.stringify({ execute, arguments: words })}\n`)
  while (lines.filter((line) => line.includes('"return"')).length < 2) {
    if (lines.some((line) => line.includes('"error"'))) break
    await once(socket, "data")
  }
  socket.destroy()
  const refused = lines.find((line) => line.includes('"error"'))
  if (refused !== undefined) throw new Error(`QMP ${execute}: ${refused}`)
  const [, answer] = lines.filter((line) => line.includes('"return"'))
  return (JSON.parse(answer!) as { readonly return: unknown }).return
}
