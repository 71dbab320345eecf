/**
 * What a running server was told when it was started, as the system shows it: its flags (/proc/PID/cmdline) and its IMAGELINK_* (/proc/PID/environ).
 *
 * **Details** proc_pid_cmdline(5): words end with NUL. The environment is for the same user and for root; where it cannot be read, it counts as empty, and so does all of it on
 * another system.
 */
import { readFileSync, readlinkSync } from "node:fs"
import { resolve } from "node:path"
import { settingKeys } from "../../core/runtime/config-file.ts"
import { settingTraits } from "../../core/runtime/settings.ts"

export interface StartedWith {
  /** By setting, as written after its flag. */
  readonly flags: Readonly<Record<string, string>>
  readonly environment: NodeJS.ProcessEnv
}

/** Relative ones are relative to where the server was started. */
const isPath = (key: string): boolean =>
  key === "config" || settingTraits[key as keyof typeof settingTraits].text === "path"
const known: ReadonlySet<string> = new Set([...settingKeys, "config"])

export const startedWith = (pid: number): StartedWith => {
  const words = wordsOf(`/proc/${pid}/cmdline`)
  const said = wordsOf(`/proc/${pid}/environ`).filter((word) => word.startsWith("IMAGELINK_"))
  return {
    flags: flagsIn(words.slice(words.indexOf("serve") + 1), folderOf(pid)),
    environment: Object.fromEntries(
      said.map((word) => [word.slice(0, word.indexOf("=")), word.slice(word.indexOf("=") + 1)]),
    ),
  }
}

const wordsOf = (path: string): ReadonlyArray<string> => {
  try {
    return readFileSync(path, "utf8").split("\0")
  } catch {
    return []
  }
}

const folderOf = (pid: number): string => {
  try {
    return readlinkSync(`/proc/${pid}/cwd`)
  } catch {
    return ""
  }
}

/** `--key value` and `--key=value`, the last one wins. */
export const flagsIn = (words: ReadonlyArray<string>, folder: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    words.flatMap((word, i) => {
      const [, key = "", own] = /^--([a-z-]+)(?:=(.*))?$/su.exec(word) ?? []
      const value = own ?? words[i + 1]
      if (!known.has(key) || value === undefined) return []
      return [[key, isPath(key) ? resolve(folder, value) : value]]
    }),
  )
