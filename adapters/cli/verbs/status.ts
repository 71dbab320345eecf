/**
 * `imagelink status`: the running server, where it listens, and every PC in a row.
 *
 * **Details** With `--watch` a terminal is drawn over in place, troubles and those on the way first; anything else is
 * given the whole again every two seconds.
 */
import type { ClientStatus, Status } from "../../../core/runtime/status.ts"
import type { CommonOptions } from "../options.ts"
import { print, printFlowing, printJson } from "../output.ts"
import { callOptions, interruptible, withServer } from "../site.ts"
import { screenLines } from "../status-screen.ts"
import { statusLines } from "../status-text.ts"
import { untilUnread } from "./log.ts"

interface StatusOptions extends CommonOptions {
  readonly watch?: boolean
}

const EVERY_MILLIS = 2000

/** ECMA-48: to the first column of the first line; the rest of the line, of the screen. */
const HOME = "\x1b[H"
const REST_OF_LINE = "\x1b[K"
const REST_OF_SCREEN = "\x1b[J"

export const status = (options: StatusOptions): Promise<void> =>
  withServer(options, async (site) => {
    const ask = (signal?: AbortSignal) =>
      site.call("status", {}, { ...callOptions(options), ...(signal === undefined ? {} : { signal }) })
    if (options.watch) return watch(options, ask)
    const now = await ask()
    if (options.json) printJson(now)
    else print(statusLines(now, Date.now()).join("\n"))
  })

const watch = async (options: StatusOptions, ask: (signal: AbortSignal) => Promise<Status>): Promise<void> => {
  const signal = untilUnread(interruptible())
  const draws = process.stdout.isTTY === true && !options.json
  if (draws) process.stdout.write(`${HOME}${REST_OF_SCREEN}`)
  while (!signal.aborted) {
    const now = await ask(signal).catch((e: unknown) => {
      if (!signal.aborted) throw e
    })
    if (now === undefined) return
    if (draws) draw(now)
    else await printFlowing(options.json ? JSON.stringify(now) : `${statusLines(now, Date.now()).join("\n")}\n`)
    await pause(signal)
  }
}

const draw = (now: Status): void => {
  const { rows = 24, columns = 80 } = process.stdout
  const clients = now.clients.toSorted((a, b) => interest(a) - interest(b))
  // Nothing is put into the last column: what erases the rest of a line would take it away again.
  const lines = screenLines({ ...now, clients }, Date.now(), rows - 1, columns - 1)
  process.stdout.write(`${HOME}${lines.map((line) => `${line}${REST_OF_LINE}\n`).join("")}${REST_OF_SCREEN}`)
}

const interest = ({ state, stuck, error }: ClientStatus): number => {
  if (stuck !== null || error !== null) return 0
  return state === "off" ? 3 : state === "running" ? 2 : 1
}

const pause = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener("abort", done)
      resolve()
    }
    const timer = setTimeout(done, EVERY_MILLIS)
    signal.addEventListener("abort", done)
    if (signal.aborted) done()
  })
