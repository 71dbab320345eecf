/**
 * A PC in QEMU that runs the Debian of debian-files.ts: what its kernel says is on its first serial port, and its second carries out commands.
 *
 *     const pc = await powerOn({ … })
 *     await pc.run("cat /etc/hostname")     one line of shell; fails the spec if its status is not 0
 *     await pc.powerOff()                   its own shutdown; pc.pull() is the plug
 *
 * **Details** Everything is bounded, and a machine that is left running is ended with its spec file.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, readFileSync } from "node:fs"
import { connect } from "node:net"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll } from "vitest"
import type { Network } from "./network.ts"

const running = new Set<ChildProcess>()
afterAll(async () => {
  for (const child of running) child.kill("SIGKILL")
  await Promise.all(Array.from(running, (child) => once(child, "close")))
})

export interface DebianInput {
  readonly folder: string
  readonly network: Network
  readonly mac: string
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

/** Half a minute when nothing else runs; four at once on two cores that others use as well take many times that. */
const BOOT_SECONDS = 400
const COMMAND_SECONDS = 240

let made = 0

const commandOf = ({ network, mac }: DebianInput, tap: string, console: string, port: string) => [
  ...network.inside,
  ...["qemu-system-x86_64", "-M", "pc,graphics=off", "-accel", "tcg", "-m", "256", "-no-reboot"],
  ...["-display", "none", "-monitor", "none", "-nodefaults"],
  ...["-serial", `file:${console}`, "-serial", `unix:${port},server=on,wait=off`],
  ...["-netdev", `tap,id=n0,ifname=${tap},script=no,downscript=no`],
  ...["-device", `virtio-net-pci,netdev=n0,mac=${mac},bootindex=1`],
]

/** Boots it, and settles when it is ready for commands. */
export const powerOn = async (input: DebianInput): Promise<Debian> => {
  const n = made++
  const [console, port] = [join(input.folder, `console-${n}`), join(input.folder, `port-${n}`)]
  const tap = input.network.tap()
  const [file, ...args] = commandOf(input, tap, console, port)
  const child = spawn(file!, args, { stdio: ["ignore", "ignore", "pipe"] })
  running.add(child)
  let complaint = ""
  child.stderr.on("data", (chunk: Buffer) => (complaint += chunk))
  const closed = once(child, "close").then(() => void running.delete(child))

  const said = () => `${existsSync(console) ? readFileSync(console, "latin1") : ""}${complaint}`
  const failed = (what: string) => new Error(`${input.mac}: ${what}\n${said().slice(-6000)}`)
  const within = async <A>(seconds: number, what: string, wanted: Promise<A>): Promise<A> => {
    const settled = new AbortController()
    const late = sleep(seconds * 1000, undefined, { signal: settled.signal }).then(() => {
      throw failed(`${what}: its time was over`)
    })
    late.catch(() => {})
    return Promise.race([wanted, late]).finally(() => settled.abort())
  }
  const gone = (what: string) =>
    closed.then((): never => {
      throw failed(`${what}: the machine is gone`)
    })

  const waiting = (async () => {
    while (!existsSync(port)) await sleep(50)
  })()
  await within(BOOT_SECONDS, "start", Promise.race([waiting, gone("start")]))
  const socket = connect(port)
  socket.on("error", () => {})
  const answers = answersOf(createInterface({ input: socket, crlfDelay: Number.POSITIVE_INFINITY }))
  const answer = (seconds: number, what: string, last: RegExp) =>
    within(seconds, what, Promise.race([answers(last), gone(what)]))
  await answer(BOOT_SECONDS, "boot", /READY$/)

  let asked = 0
  const ask = async (command: string): Promise<Answer> => {
    const number = ++asked
    socket.write(`${number} ${command}\n`)
    const lines = await answer(COMMAND_SECONDS, command, new RegExp(`^=${number} `))
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
      const refused = ask("pc-poweroff").then(
        ({ output }) => Promise.reject(failed(`does not power off: ${output}`)),
        () => closed,
      )
      await within(COMMAND_SECONDS, "power off", Promise.race([refused, closed]))
    },
    async pull() {
      child.kill("SIGKILL")
      await closed
    },
  }
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
