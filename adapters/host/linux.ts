/**
 * The Host port for Linux: what its kernel tells in /proc and in the control groups.
 *
 * **Details** Everything is read when it is asked for, with one small file read each, and unknown where a file is missing. So on another
 * system every answer is "not known", and callers fall back.
 *
 * Not done: `punchHole` and `nextData`. Node offers neither fallocate(2) nor lseek(2), and a native addon would have to be built for every
 * platform. So trimmed space is given back when its overlay goes, and an image's holes are read as the zeros they are.
 */
import { readFileSync } from "node:fs"
import { userInfo } from "node:os"
import type { Host } from "../../core/host.ts"
import { memoryAvailableBytes, type ReadText } from "./memory.ts"

const readText: ReadText = (path) => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    return undefined
  }
}

/** `read` answers a file's text, or undefined when there is none; specs inject it. */
export const linuxHost = (read: ReadText = readText): Host => ({
  bootId: () => bootIdIn(read("/proc/sys/kernel/random/boot_id")),
  userName,
  memoryAvailableBytes: () => memoryAvailableBytes(read),
})

/** random(4): a UUID drawn at boot. Anything else is not trusted, because equal ids let an overlay trust its working map. */
const bootIdIn = (text: string | undefined): string | undefined => {
  const id = text?.trim().toLowerCase() ?? ""
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id) ? id : undefined
}

/** A user without an entry in the password database, as in many containers, is named by number. */
const userName = (): string => {
  try {
    return userInfo().username
  } catch {
    return `uid ${process.getuid?.() ?? "unknown"}`
  }
}
