/**
 * A line of a running server's log: words for people, and the same facts under names for programs.
 *
 *     pretty   2026-11-23T05:01:41.123Z nbd 7 10.0.0.11 opened client/PC-001/0: PC-001 slot 0 over win11@1
 *     json     {"time":"2026-11-23T05:01:41.123Z","level":"info","msg":"nbd 7 …","protocol":"nbd","client":"PC-001","address":"10.0.0.11"}
 *
 * **Gotchas** What is secret is not for a log: of a boot id its first half alone, which opens nothing; of tokens and CHAP secrets nothing.
 */
import type { ImagelinkError } from "../errors.ts"

export interface LogAbout {
  readonly protocol?: string
  readonly client?: string
  readonly mac?: string
  readonly address?: string
  readonly actor?: string
  readonly image?: string
  readonly version?: number
  readonly firmware?: string | null
  /** First half of a boot id. */
  readonly boot?: string | null
  /** Milliseconds since the boot's first sign of life, by stage. */
  readonly stages?: Readonly<Record<string, number>>
  readonly code?: string
  readonly cause?: string
  readonly fix?: string
}

export interface LogLine {
  readonly level: "error" | "info" | "debug"
  readonly text: string
  readonly about?: LogAbout
}

export const errorAbout = ({ code, reason, fix }: ImagelinkError): LogAbout => ({ code, cause: reason, fix })

/** `at`: UTC milliseconds. Without a line end. */
export const jsonLine = ({ level, text, about }: LogLine, at: number): string =>
  JSON.stringify({ time: new Date(at).toISOString(), level, msg: text, ...fixIn(level, text), ...about })

/** Whoever reads errors for their remedy finds it in one place, also where it was only said in words. */
const fixIn = (level: LogLine["level"], text: string): LogAbout => {
  const at = level === "error" ? text.lastIndexOf("fix: ") : -1
  return at < 0 ? {} : { fix: text.slice(at + 5) }
}

/** ECMA-48: red, and back. */
const RED = "\x1b[31m"
const PLAIN = "\x1b[0m"

/** On a terminal. What a PC said of itself draws nothing there. */
export const prettyLine = ({ level, text }: LogLine, at: number): string => {
  const line = `${new Date(at).toISOString()} ${text.replaceAll(/\p{Cc}/gu, "?")}`
  return level === "error" ? `${RED}${line}${PLAIN}` : line
}
