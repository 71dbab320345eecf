/**
 * Who holds LevelDB's lock, where the operating system tells: so that a store in use is called that, and not looked at while it changes.
 *
 * LevelDB locks `db/LOCK` with fcntl. Linux lists such locks in /proc/locks (proc(5)), one a line, by device and inode:
 *
 *     1: POSIX  ADVISORY  WRITE 3212 fe:01:1234567 0 EOF
 *
 * **Gotchas** The lock file must never be opened here: POSIX drops all of a process's locks on a file when it closes any descriptor of it.
 * On other systems, and behind file systems that report another device, the answer is "unknown", and LevelDB's own refusal comes later.
 */
import { readFileSync, statSync } from "node:fs"

/** Process id of the holder of the lock on `path`; undefined when nobody holds it or nobody can tell. */
export const lockHolder = (path: string, locks: string = readLocks()): number | undefined => {
  const stat = statSync(path, { throwIfNoEntry: false, bigint: true })
  if (stat === undefined) return undefined
  // makedev(3) of the GNU C library: 12 bits of major from bit 8, 20 bits of minor around them
  const major = Number((stat.dev >> 8n) & 0xfffn)
  const minor = Number((stat.dev & 0xffn) | ((stat.dev >> 12n) & 0xfff00n))
  const hex = (n: number) => n.toString(16).padStart(2, "0")
  const inode = ` ${hex(major)}:${hex(minor)}:${stat.ino} `
  const line = locks.split("\n").find((l) => l.includes(inode) && l.includes(" WRITE ") && !l.includes("->"))
  const pid = Number(/ WRITE +(-?[0-9]+) /.exec(line ?? "")?.[1])
  return Number.isNaN(pid) ? undefined : pid
}

const readLocks = (): string => {
  try {
    return readFileSync("/proc/locks", "latin1")
  } catch {
    return ""
  }
}
