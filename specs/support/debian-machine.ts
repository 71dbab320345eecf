/**
 * A PC in QEMU that runs the Debian of debian-files.ts: what its kernel says is on its serial port, and a virtio port carries out commands.
 *
 *     const pc = await powerOn({ … }).ready
 *     await pc.run("cat /etc/hostname")     one line of shell; fails the spec if its status is not 0
 *     await pc.powerOff()                   its own shutdown; pc.pull() is the plug
 *
 * **Details** Everything is bounded, and a machine that is left running is ended with its spec file.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, readFileSync, statSync } from "node:fs"
import { connect } from "node:net"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll } from "vitest"
import { SYSTEMD_PRODUCT } from "./debian-files.ts"
import { firmwareOptions, type MachineInput, romOf } from "./machine.ts"
import type { Network } from "./network.ts"
import { whereItHangs } from "./where-it-hangs.ts"

const running = new Set<ChildProcess>()
afterAll(async () => {
  for (const child of running) child.kill("SIGKILL")
  await Promise.all(Array.from(running, (child) => once(child, "close")))
})

export interface DebianInput {
  readonly folder: string
  readonly network: Pick<Network, "inside" | "tap">
  readonly mac: string
  /** Else BIOS. */
  readonly firmware?: MachineInput["firmware"]
  /** systemd starts it, in place of the small init. */
  readonly systemd?: boolean
}

export interface Answer {
  readonly status: number
  readonly output: string
}

export interface Debian {
  /** Its port of the bridge. */
  readonly tap: string
  /** What loader and kernel have said. */
  said(): string
  /** A line of shell, and what it printed. */
  ask(command: string): Promise<Answer>
  /** The same, where it must succeed. */
  run(command: string): Promise<string>
  powerOff(): Promise<void>
  /** Power is gone: nothing is said to anybody. */
  pull(): Promise<void>
}

/**
 * A boot takes half a minute when nothing else runs; four at once on two cores that others use as well take many times that. So nothing is too slow while loader or kernel
 * has something more to say. The spec's own time ends what never comes to an end.
 */
const SILENCE_SECONDS = 240

let made = 0

/** `at` answers the path of one of its files and sockets. */
const commandOf = (input: DebianInput, tap: string, at: (name: string) => string): ReadonlyArray<string> => [
  ...input.network.inside,
  ...["qemu-system-x86_64", "-accel", "tcg", "-m", "256", "-no-reboot"],
  ...firmwareOptions(input.firmware ?? "bios", at("vars")),
  ...(input.systemd === true ? ["-smbios", `type=1,product=${SYSTEMD_PRODUCT}`] : []),
  ...["-display", "none", "-monitor", "none", "-nodefaults"],
  ...["-serial", `file:${at("console")}`, "-qmp", `unix:${at("qmp")},server=on,wait=off`],
  // Without event_idx: QEMU 7.2 without KVM was seen to carry out one instruction for ever, where the driver says which buffer it wants to hear of.
  ...["-chardev", `socket,id=p0,path=${at("port")},server=on,wait=off`],
  ...["-device", "virtio-serial-pci,event_idx=off", "-device", "virtserialport,chardev=p0,name=pc"],
  ...["-netdev", `tap,id=n0,ifname=${tap},script=no,downscript=no`],
  ...[
    "-device",
    `virtio-net-pci,netdev=n0,mac=${input.mac},bootindex=1,event_idx=off${romOf(input.firmware ?? "bios")}`,
  ],
]

/** Settles when a console has not grown for so long. */
const silence = async (console: string, seconds: number, signal: AbortSignal): Promise<void> => {
  const size = () => (existsSync(console) ? statSync(console).size : 0)
  for (let [seen, quiet] = [size(), 0]; quiet < seconds; quiet++) {
    await sleep(1000, undefined, { signal })
    if (size() === seen) continue
    seen = size()
    quiet = 0
  }
}

/** A PC that may or may not come to run. */
export interface Booting {
  said(): string
  /** Settles when it takes commands. */
  readonly ready: Promise<Debian>
}

/** Boots it. */
export const powerOn = (input: DebianInput): Booting => {
  const n = made++
  const at = (name: string) => join(input.folder, `${name}-${n}`)
  const [console, port] = [at("console"), at("port")]
  const tap = input.network.tap()
  const [file, ...args] = commandOf(input, tap, at)
  const child = spawn(file!, args, { stdio: ["ignore", "ignore", "pipe"] })
  running.add(child)
  let complaint = ""
  child.stderr.on("data", (chunk: Buffer) => (complaint += chunk))
  const closed = once(child, "close").then(() => void running.delete(child))

  const said = () => `${existsSync(console) ? readFileSync(console, "latin1") : ""}${complaint}`
  const failed = (what: string) => new Error(`${input.mac}: ${what}\n${said().slice(-6000)}`)
  const within = async <A>(seconds: number, what: string, wanted: Promise<A>): Promise<A> => {
    const settled = new AbortController()
    const late = silence(console, seconds, settled.signal).then(async () => {
      throw failed(`${what}: it has said nothing for ${seconds} seconds\n${await whereItHangs(at("qmp"))}`)
    })
    late.catch(() => {})
    return Promise.race([wanted, late]).finally(() => settled.abort())
  }
  const gone = (what: string) =>
    closed.then((): never => {
      throw failed(`${what}: the machine is gone`)
    })

  const ready = async (): Promise<Debian> => {
    const waiting = (async () => {
      while (!existsSync(port)) await sleep(50)
    })()
    await within(SILENCE_SECONDS, "start", Promise.race([waiting, gone("start")]))
    const socket = connect(port)
    socket.on("error", () => {})
    const answers = answersOf(createInterface({ input: socket, crlfDelay: Number.POSITIVE_INFINITY }))
    const answer = (seconds: number, what: string, last: RegExp) =>
      within(seconds, what, Promise.race([answers(last), gone(what)]))
    await answer(SILENCE_SECONDS, "boot", /READY$/)

    let asked = 0
    const ask = async (command: string): Promise<Answer> => {
      const number = ++asked
      socket.write(`${number} ${command}\n`)
      const lines = await answer(SILENCE_SECONDS, command, new RegExp(`^=${number} `))
      return { status: Number(lines.at(-1)!.split(" ")[1]), output: lines.slice(0, -1).join("\n") }
    }
    return {
      tap,
      said,
      ask,
      async run(command) {
        const { status, output } = await ask(command)
        if (status !== 0) throw failed(`${command} ended with ${status}: ${output}`)
        return output
      },
      async powerOff() {
        const refused = answers(/^=/).then((lines) => Promise.reject(failed(`does not power off: ${lines.join(" ")}`)))
        socket.write("0 pc-poweroff\n")
        await within(SILENCE_SECONDS, "power off", Promise.race([refused, closed]))
      },
      async pull() {
        child.kill("SIGKILL")
        await closed
      },
    }
  }
  const booted = ready()
  booted.catch(() => {})
  return { said, ready: booted }
}

/** Waits for a line, and answers what came since the last one that was waited for. */
const answersOf = (lines: ReturnType<typeof createInterface>) => {
  let gathered: Array<string> = []
  let waits: { readonly last: RegExp; readonly done: (lines: ReadonlyArray<string>) => void } | undefined
  lines.on("line", (line) => {
    gathered.push(line)
    if (!waits?.last.test(line)) return
    const { done } = waits
    waits = undefined
    done(gathered.splice(0))
  })
  return (last: RegExp): Promise<ReadonlyArray<string>> => {
    gathered = []
    return new Promise((done) => {
      waits = { last, done }
    })
  }
}
