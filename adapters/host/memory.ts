/**
 * How much memory can be taken without swapping: the least of what the machine and each control group around us have left.
 *
 *     machine     /proc/meminfo  MemAvailable                        proc_meminfo(5)
 *     cgroup v2   memory.max − (memory.current − inactive_file)      at our group and every group above it
 *     cgroup v1   memory.limit_in_bytes − (usage − total_inactive_file)
 *
 * **Details** A group's page cache counts as used there, but its inactive half is the first to be reclaimed, so it counts as available.
 * In a container /proc/self/cgroup may name a path of the outer machine that is not visible; then the files at the mount's root are ours.
 */
export type ReadText = (path: string) => string | undefined

export const memoryAvailableBytes = (read: ReadText): number | undefined => {
  const candidates = [machine(read), ...groups(read)].filter((bytes) => bytes !== undefined)
  return candidates.length === 0 ? undefined : Math.max(0, Math.min(...candidates))
}

const machine = (read: ReadText): number | undefined => {
  const kiB = /^MemAvailable:\s+(\d+) kB$/m.exec(read("/proc/meminfo") ?? "")?.[1]
  return kiB === undefined ? undefined : Number(kiB) * 1024
}

/** cgroups(7): lines of `hierarchy:controllers:path`; version 2 is hierarchy 0 without controllers. */
const groups = (read: ReadText): ReadonlyArray<number | undefined> =>
  (read("/proc/self/cgroup") ?? "").split("\n").flatMap((line) => {
    const [, hierarchy, controllers, path] = /^(\d+):([^:]*):(\/.*)$/.exec(line) ?? []
    if (path === undefined) return []
    if (hierarchy === "0" && controllers === "") return upwards("/sys/fs/cgroup", path).map((at) => version2(read, at))
    if (controllers?.split(",").includes("memory"))
      return upwards("/sys/fs/cgroup/memory", path).map((at) => version1(read, at))
    return []
  })

/** `/a/b` below a mount: the group itself, the ones above it, and the mount's root. */
const upwards = (mount: string, path: string): ReadonlyArray<string> => {
  const names = path.split("/").filter((name) => name !== "" && name !== "..")
  return names.map((_, i) => `${mount}/${names.slice(0, names.length - i).join("/")}`).concat(mount)
}

const version2 = (read: ReadText, at: string) =>
  left(read(`${at}/memory.max`), read(`${at}/memory.current`), inactive(read(`${at}/memory.stat`), "inactive_file"))

const version1 = (read: ReadText, at: string) =>
  left(
    read(`${at}/memory.limit_in_bytes`),
    read(`${at}/memory.usage_in_bytes`),
    inactive(read(`${at}/memory.stat`), "total_inactive_file"),
  )

/** `max`, and version 1's nearly 2^63, mean "no limit". */
const left = (max: string | undefined, used: string | undefined, inactiveBytes: number): number | undefined => {
  const limit = Number(max?.trim() || Number.NaN)
  const usage = Number(used?.trim() || Number.NaN)
  if (!Number.isSafeInteger(limit) || !Number.isSafeInteger(usage)) return undefined
  return limit - Math.max(0, usage - inactiveBytes)
}

const inactive = (stat: string | undefined, key: string): number =>
  Number(new RegExp(`^${key} (\\d+)$`, "m").exec(stat ?? "")?.[1] ?? 0)
