/**
 * Runs a tool of this host and reads what it prints line by line, within bounds of time and size.
 *
 * **Details** No shell: the arguments are those that are given. The tool sees no more of the environment than where programs are, and has no
 * input. What it prints is read as it comes; a tool that prints too much or takes too long is killed, by its own id.
 */
import { spawn } from "node:child_process"
import { accessSync, constants } from "node:fs"
import { delimiter, join } from "node:path"
import { StringDecoder } from "node:string_decoder"
import { fail } from "../../core/errors.ts"

export interface ToolRun {
  /** An absolute path. */
  readonly path: string
  readonly args: ReadonlyArray<string>
  /** It has this file open as number 3. */
  readonly fd: number
  /** Runs as this user, which only root can ask for. */
  readonly uid?: number
  readonly millisMax: number
  readonly outputBytesMax: number
  readonly signal: AbortSignal
  readonly onLine: (line: string) => void
}

export interface ToolEnd {
  /** Null when it was killed. */
  readonly status: number | null
  /** The beginning of what it said on stderr. */
  readonly said: string
  /** Why it was killed, if for a bound. */
  readonly bound?: string
}

const SAID_MAX = 2048

/** A tool by name, in PATH and in the system's folders, which a user's PATH often lacks. */
export const findTool = (name: string, path = process.env.PATH ?? ""): string | undefined =>
  [...path.split(delimiter).filter((folder) => folder.startsWith("/")), "/usr/bin", "/usr/sbin", "/sbin"]
    .map((folder) => join(folder, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK)
        return true
      } catch {
        return false
      }
    })

/** Settles when the tool has ended, whatever ended it. @throws CANCELLED, and what `onLine` throws */
export const runTool = (run: ToolRun): Promise<ToolEnd> =>
  new Promise((resolve, reject) => {
    if (run.signal.aborted) return reject(cancelled(run))
    const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C.UTF-8", TZ: "UTC" }
    const child = spawn(run.path, run.args, {
      ...{ cwd: "/", env, stdio: ["ignore", "pipe", "pipe", run.fd], windowsHide: true },
      ...(run.uid === undefined ? {} : { uid: run.uid, gid: run.uid }),
    })
    let thrown: unknown
    let bound: string | undefined
    let said = ""
    const kill = () => {
      child.kill("SIGKILL")
      // Whatever it may have started has them too, and would keep them open.
      for (const stream of [child.stdout!, child.stderr!]) stream.destroy()
    }
    const killFor = (why: string) => {
      bound ??= why
      kill()
    }
    const lines = splitLines(run.onLine)
    let printed = 0
    child.stdout!.on("data", (bytes: Buffer) => {
      if (thrown !== undefined || bound !== undefined) return
      printed += bytes.length
      if (printed > run.outputBytesMax) return killFor(`it printed more than ${run.outputBytesMax} bytes`)
      try {
        lines.take(bytes)
      } catch (e) {
        thrown = e
        kill()
      }
    })
    child.stderr!.on("data", (bytes: Buffer) => {
      if (said.length < SAID_MAX) said = (said + bytes.toString()).slice(0, SAID_MAX)
    })
    const clock = setTimeout(() => killFor(`it took longer than ${run.millisMax / 1000} seconds`), run.millisMax)
    run.signal.addEventListener("abort", kill)
    const settled = () => {
      clearTimeout(clock)
      run.signal.removeEventListener("abort", kill)
    }
    child.once("error", (e) => {
      settled()
      reject(e)
    })
    child.once("close", (status) => {
      settled()
      if (thrown !== undefined) return reject(thrown)
      if (run.signal.aborted) return reject(cancelled(run))
      resolve({ status, said: said.trim(), ...(bound === undefined ? {} : { bound }) })
    })
  })

const cancelled = ({ path }: ToolRun) => fail("CANCELLED", { what: path })

/** A last line without an end is no line: whoever printed it was stopped. */
const splitLines = (onLine: (line: string) => void) => {
  const decoder = new StringDecoder("utf8")
  let rest = ""
  return {
    take(bytes: Buffer) {
      const parts = (rest + decoder.write(bytes)).split("\n")
      rest = parts.pop()!
      for (const line of parts) onLine(line)
    },
  }
}
