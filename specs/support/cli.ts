/**
 * The command line as an operator has it: a process of its own for each command, and a server that is always stopped again.
 *
 * **Details** Everything is bounded: a command that does not end is killed and its spec fails. The compiled modules are kept in a folder
 * for the run of one spec file, so that the second command starts in half the time. IMAGELINK_* of the caller's environment is not seen.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { chmodSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll } from "vitest"
import type { ErrorJson } from "../../core/errors.ts"

const main = fileURLToPath(new URL("../../adapters/cli/main.ts", import.meta.url))
const folders: Array<string> = []
const children = new Set<ChildProcess>()

/** A folder that is removed when its spec file is done. Others may look into it, because specs run commands as another user. */
export const scratch = (name = "cli"): string => {
  const folder = mkdtempSync(join(tmpdir(), `imagelink-${name}-`))
  chmodSync(folder, 0o755)
  folders.push(folder)
  return folder
}

/** The hooks of a spec run in reverse order, so this one, of the first import, comes last. */
afterAll(async () => {
  for (const child of children) child.kill("SIGKILL")
  await Promise.all(Array.from(children, (child) => once(child, "exit")))
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

const compiled = scratch("compiled")
const env = (more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => {
  const kept = Object.entries(process.env).filter(([key]) => !/^(IMAGELINK_|NODE_OPTIONS|VITEST)/.test(key))
  return { ...Object.fromEntries(kept), NODE_COMPILE_CACHE: compiled, ...more }
}

export interface RunOptions {
  /** Goes before the verb, as `--data`. */
  readonly data?: string
  readonly env?: NodeJS.ProcessEnv
  /** Run as this user; only root may. */
  readonly uid?: number
  readonly cwd?: string
  /** Words that go before the command, like those that run it in a network namespace. */
  readonly inside?: ReadonlyArray<string>
  /** Nobody reads what it prints on stdout: the pipe is closed at once. */
  readonly unread?: boolean
}

export interface Run {
  /** Null when a signal ended it. */
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

const start = (args: ReadonlyArray<string>, options: RunOptions): ChildProcess => {
  const all = options.data === undefined ? args : ["--data", options.data, ...args]
  const [file, ...words] = [...(options.inside ?? []), process.execPath, "--conditions=source", main, ...all]
  const child = spawn(file!, words, {
    env: env(options.env),
    stdio: ["ignore", "pipe", "pipe"],
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  children.add(child)
  child.once("exit", () => children.delete(child))
  return child
}

const gather = (stream: NodeJS.ReadableStream): (() => string) => {
  const chunks: Array<Buffer> = []
  stream.on("data", (chunk: Buffer) => chunks.push(chunk))
  return () => Buffer.concat(chunks).toString("utf8")
}

const commandMillisMax = 60_000

/** Runs one command to its end. */
export const imagelink = async (args: ReadonlyArray<string>, options: RunOptions = {}): Promise<Run> => {
  const child = start(args, options)
  const stdout = gather(child.stdout!)
  const stderr = gather(child.stderr!)
  if (options.unread) child.stdout!.destroy()
  const late = setTimeout(() => child.kill("SIGKILL"), commandMillisMax)
  const [status] = (await once(child, "close")) as [number | null]
  clearTimeout(late)
  return { status, stdout: stdout(), stderr: stderr() }
}

/** Runs a command that must succeed, with `--json`, and answers what it printed. */
export const json = async <A = unknown>(args: ReadonlyArray<string>, options: RunOptions = {}): Promise<A> => {
  const { status, stdout, stderr } = await imagelink([...args, "--json"], options)
  if (status !== 0) throw new Error(`imagelink ${args.join(" ")} ended with ${status}: ${stderr}`)
  return JSON.parse(stdout) as A
}

/** The stored events, as `log --json` prints them. */
export const events = async (data: string): Promise<ReadonlyArray<LoggedEvent>> => {
  const { status, stdout, stderr } = await imagelink(["log", "--json"], { data })
  if (status !== 0) throw new Error(`imagelink log ended with ${status}: ${stderr}`)
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as LoggedEvent)
}

/** The last boot that is recorded, once it is that of a computer with this MAC: a boot is recorded a moment after its first read. */
export const lastBoot = async (data: string, mac: string): Promise<LoggedEvent["data"] | undefined> => {
  for (let tries = 0; ; tries++) {
    const last = (await events(data)).filter((e) => e.type === "ClientBooted").at(-1)
    if ((last?.data.client as { readonly mac?: string } | undefined)?.mac === mac || tries === 30) return last?.data
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

export interface LoggedEvent {
  readonly position: number
  readonly type: string
  readonly command: string
  readonly at: number
  readonly actor: { readonly kind: string; readonly name: string }
  readonly data: Record<string, unknown>
}

export interface Served {
  /** Its first lines on stdout. */
  readonly said: string
  readonly listeners: Readonly<Record<string, string>>
  readonly nbdPort: number
  readonly pid: number
  readonly stderr: () => string
  /** Its log so far: the words of each line. */
  readonly log: () => ReadonlyArray<string>
  /** Sends the signal and waits for the end: the exit code, or the signal that ended it. */
  kill(signal: NodeJS.Signals): Promise<number | NodeJS.Signals>
  /** SIGTERM, and then the end. */
  stop(): Promise<number | NodeJS.Signals>
}

const readyMillisMax = 40_000
const stopMillisMax = 15_000

const firstLines = (child: ChildProcess, lines: number): Promise<string> =>
  new Promise((resolve, reject) => {
    const stderr = gather(child.stderr!)
    let text = ""
    const late = setTimeout(() => {
      child.kill("SIGKILL")
      reject(new Error(`not ready in time: ${stderr()}`))
    }, readyMillisMax)
    child.stdout!.on("data", (chunk: Buffer) => {
      text += chunk.toString("utf8")
      if (text.split("\n").length <= lines) return
      clearTimeout(late)
      resolve(text)
    })
    child.once("close", (code) => {
      clearTimeout(late)
      reject(new Error(`ended with ${code} before it was ready: ${stderr()}`))
    })
  })

/** Of a line of the log, as JSON; of one that is not whole yet, none. */
const wordsOf = (line: string): ReadonlyArray<string> => {
  try {
    return [(JSON.parse(line) as { readonly msg: string }).msg]
  } catch {
    return []
  }
}

interface ServeOptions extends Omit<RunOptions, "data"> {
  /** Lines of words to wait for, instead of one of JSON. */
  readonly lines?: number
  /** Hears what it says on stderr, also before it is ready. */
  readonly heard?: (text: string) => void
}

/** A server on any free port, listening when this settles; `said` is what it printed. */
export const startServe = async (
  data: string,
  args: ReadonlyArray<string> = [],
  { lines, heard, ...options }: ServeOptions = {},
): Promise<Served> => {
  const port = args.includes("--nbd-port") ? [] : ["--nbd-port", "0"]
  const child = start(["serve", ...(lines === undefined ? ["--json"] : []), ...port, ...args], { ...options, data })
  const stderr = gather(child.stderr!)
  if (heard !== undefined) child.stderr!.on("data", () => heard(stderr()))
  const ended = new Promise<number | NodeJS.Signals>((resolve) =>
    child.once("exit", (code, signal) => resolve(code ?? signal!)),
  )
  const said = await firstLines(child, lines ?? 1)
  const listeners = (lines === undefined ? JSON.parse(said).listeners : {}) as Record<string, string>
  const kill = async (signal: NodeJS.Signals) => {
    child.kill(signal)
    const late = setTimeout(() => child.kill("SIGKILL"), stopMillisMax)
    return ended.finally(() => clearTimeout(late))
  }
  const nbdPort = Number(listeners.nbd?.split(":").at(-1))
  const log = () => stderr().split("\n").flatMap(wordsOf)
  return { said, listeners, nbdPort, pid: child.pid!, stderr, log, kill, stop: () => kill("SIGTERM") }
}

/** What a refused command said with `--json`: the one object on stderr. */
export const refusal = ({ stderr }: Run): ErrorJson => (JSON.parse(stderr) as { readonly error: ErrorJson }).error
