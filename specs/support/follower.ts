/** A command that runs on, such as `log --follow`: its lines as they come, waited for a bounded time, and always ended. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

const main = fileURLToPath(new URL("../../adapters/cli/main.ts", import.meta.url))
const lineMillisMax = 20_000

export interface Follower {
  readonly lines: ReadonlyArray<string>
  /** Settles once there are this many lines. */
  until(count: number): Promise<ReadonlyArray<string>>
  /** Stops reading what it prints. */
  unread(): void
  /** Sends Ctrl-C, unless it ended by itself, and answers the exit code. */
  stop(): Promise<number | null>
  /** Waits for it to end by itself. */
  ended(): Promise<number | null>
}

export const startFollower = (args: ReadonlyArray<string>): Follower => {
  const child = spawn(process.execPath, ["--conditions=source", main, ...args], { stdio: ["ignore", "pipe", "pipe"] })
  const lines: Array<string> = []
  let waiting = () => {}
  let stderr = ""
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString("utf8")
  })
  createInterface({ input: child.stdout }).on("line", (line) => {
    lines.push(line)
    waiting()
  })
  const closed = once(child, "exit")
  const ended = async () => {
    const late = setTimeout(() => child.kill("SIGKILL"), lineMillisMax)
    await closed
    clearTimeout(late)
    return child.exitCode
  }
  const until = async (count: number) => {
    const late = setTimeout(() => child.kill("SIGKILL"), lineMillisMax)
    try {
      while (lines.length < count) {
        const more = new Promise<void>((resolve) => {
          waiting = resolve
        })
        await Promise.race([more, closed])
        if (child.exitCode !== null || child.signalCode !== null)
          throw new Error(`it ended with ${child.exitCode ?? child.signalCode} after ${lines.length} lines: ${stderr}`)
      }
      return lines.slice(0, count)
    } finally {
      clearTimeout(late)
    }
  }
  const stop = () => {
    child.kill("SIGINT")
    return ended()
  }
  return { lines, until, unread: () => void child.stdout.destroy(), stop, ended }
}
