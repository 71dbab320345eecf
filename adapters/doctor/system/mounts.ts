/**
 * Which file system a path is on, as the kernel lists its mounts. Pure but for `fileSystemAt`.
 *
 *     36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue        proc_pid_mountinfo(5)
 */
import { realpathSync } from "node:fs"
import { readText } from "./proc.ts"

export interface Mount {
  readonly point: string
  readonly type: string
}

const octal = (text: string): string =>
  text.replaceAll(/\\([0-7]{3})/gu, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))

export const mountsIn = (mountinfo: string): ReadonlyArray<Mount> =>
  mountinfo.split("\n").flatMap((line) => {
    const [before = "", after = ""] = line.split(" - ", 2)
    const point = before.split(" ")[4]
    const type = after.split(" ")[0]
    return point === undefined || !type ? [] : [{ point: octal(point), type }]
  })

/** The innermost mount; of several at one point the last, which hides the others. */
export const mountOf = (mounts: ReadonlyArray<Mount>, path: string): Mount | undefined =>
  mounts
    .filter(({ point }) => path === point || path.startsWith(point === "/" ? "/" : `${point}/`))
    .reduce<Mount | undefined>(
      (best, m) => (best === undefined || m.point.length >= best.point.length ? m : best),
      undefined,
    )

export const fileSystemAt = (path: string): string | undefined =>
  mountOf(mountsIn(readText("/proc/self/mountinfo") ?? ""), realpathSync(path))?.type
