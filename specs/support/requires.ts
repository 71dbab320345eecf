/**
 * Says whether a tool of the system is here, and skips aloud when it is not.
 *
 *     const qemuImg = requires("qemu-img", "qemu-utils")
 *     it.skipIf(qemuImg.skip)("…")
 *
 * **Details** A skip prints one line naming the Debian package, and appends it to the file that IMAGELINK_SKIPS names, so that a run can
 * say at its end what it did not try.
 */
import { accessSync, appendFileSync, constants } from "node:fs"
import { basename, delimiter, join } from "node:path"

export interface Requirement {
  readonly skip: boolean
  /** Empty when it is here. */
  readonly reason: string
}

/** System folders are looked in as well: a user's PATH often lacks sbin. */
const folders = (): ReadonlyArray<string> => [
  ...(process.env.PATH ?? "").split(delimiter).filter((f) => f !== ""),
  "/usr/sbin",
  "/sbin",
]

const isHere = (tool: string): boolean =>
  folders().some((folder) => {
    try {
      accessSync(join(folder, tool), constants.X_OK)
      return true
    } catch {
      return false
    }
  })

/** `spec` names the file that asks; by default it is found from where the call came. */
export const requires = (tool: string, debianPackage: string, spec = caller()): Requirement => {
  if (isHere(tool)) return { skip: false, reason: "" }
  return skipAloud(spec, `needs ${tool} (Debian package ${debianPackage})`)
}

/** The same for a tool that npm has, and Debian has not: installed globally, because it is no dependency of ours. */
export const requiresFromNpm = (tool: string, version: string, spec = caller()): Requirement => {
  if (isHere(tool)) return { skip: false, reason: "" }
  return skipAloud(spec, `needs ${tool} (npm install --global ${version})`)
}

/** The same for anything else a spec cannot do without. */
export const skipAloud = (spec: string, reason: string): Requirement => {
  const line = `SKIPPED ${spec}: ${reason}`
  console.warn(line)
  const file = process.env.IMAGELINK_SKIPS
  if (file !== undefined && file !== "") appendFileSync(file, `${line}\n`)
  return { skip: true, reason }
}

const caller = (): string => {
  const frame = (new Error().stack ?? "").split("\n").find((l) => l.includes(".spec.ts"))
  const path = /([^\s(]+\.spec\.ts)/u.exec(frame ?? "")?.[1]
  return path === undefined ? "a spec" : basename(path)
}
