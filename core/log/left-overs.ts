/**
 * Things under construction: each is built beside its place under a name that tells who builds it, and renamed into it.
 *
 *     <name>.new-<pid>-<id>
 *
 * **Details** What a killed process left half built is known by that name and cleared away by the next that builds the same thing. It is left
 * alone while a process with that id runs, so that two that build at once are not in each other's way.
 */
import { readdirSync, rmSync } from "node:fs"
import { join } from "node:path"

/** The name to build `name` under; `id` tells two builders of one process apart. */
export const buildingName = (name: string, id: string): string => `${name}.new-${process.pid}-${id}`

/** Removes from `folder` what dead processes left of building `name`. */
export const removeLeftOvers = (folder: string, name: string): void => {
  for (const entry of readdirSync(folder)) {
    if (!entry.startsWith(`${name}.new-`)) continue
    const pid = /^([0-9]+)-/.exec(entry.slice(name.length + ".new-".length))?.[1]
    if (pid !== undefined && !isRunning(Number(pid))) rmSync(join(folder, entry), { recursive: true, force: true })
  }
}

export const isRunning = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (e) {
    return (e as NodeJS.ErrnoException).code === "EPERM"
  }
}
