import { expect, it } from "vitest"
import { linuxHost } from "../../../adapters/host/linux.ts"

const GiB = 2 ** 30
const meminfo = `MemTotal:       16384000 kB\nMemFree:          100000 kB\nMemAvailable:    8388608 kB\n`
const available = (files: Record<string, string>) => linuxHost((path) => files[path]).memoryAvailableBytes?.()
const bootId = (text: string | undefined) =>
  linuxHost((path) => (path === "/proc/sys/kernel/random/boot_id" ? text : undefined)).bootId?.()

it("knows nothing, and says so, where there is no /proc", () => {
  expect(available({})).toBeUndefined()
  expect(bootId(undefined)).toBeUndefined()
})

it("trusts only a boot id that is one", () => {
  expect(bootId("E9C97E2A-efec-49db-884f-7d5c38ecfbc3\n")).toBe("e9c97e2a-efec-49db-884f-7d5c38ecfbc3")
  for (const text of ["", "\n", "unknown", "e9c97e2a-efec-49db-884f-7d5c38ecfbc"]) expect(bootId(text)).toBeUndefined()
})

it("takes what the machine has available when no group limits it", () => {
  expect(available({ "/proc/meminfo": meminfo })).toBe(8 * GiB)
  expect(
    available({
      "/proc/meminfo": meminfo,
      "/proc/self/cgroup": "0::/user.slice\n",
      "/sys/fs/cgroup/user.slice/memory.max": "max\n",
      "/sys/fs/cgroup/user.slice/memory.current": "1000\n",
    }),
  ).toBe(8 * GiB)
})

it("takes the least of every group above it, counting reclaimable cache as available", () => {
  const files = {
    "/proc/meminfo": meminfo,
    "/proc/self/cgroup": "0::/system.slice/imagelink.service\n",
    "/sys/fs/cgroup/system.slice/imagelink.service/memory.max": `${4 * GiB}\n`,
    "/sys/fs/cgroup/system.slice/imagelink.service/memory.current": `${GiB}\n`,
    "/sys/fs/cgroup/system.slice/imagelink.service/memory.stat": "anon 5\ninactive_file 536870912\nactive_file 7\n",
    "/sys/fs/cgroup/system.slice/memory.max": `${3 * GiB}\n`,
    "/sys/fs/cgroup/system.slice/memory.current": `${GiB}\n`,
  }
  expect(available(files)).toBe(2 * GiB)
  expect(available({ ...files, "/sys/fs/cgroup/system.slice/memory.max": `${8 * GiB}\n` })).toBe(3.5 * GiB)
})

it("answers nothing left, and not less, in a group over its limit", () => {
  expect(
    available({
      "/proc/meminfo": meminfo,
      "/proc/self/cgroup": "0::/\n",
      "/sys/fs/cgroup/memory.max": "1000\n",
      "/sys/fs/cgroup/memory.current": "2000\n",
    }),
  ).toBe(0)
})

it("reads version 1 groups, where no limit is nearly 2^63", () => {
  const files = {
    "/proc/meminfo": meminfo,
    "/proc/self/cgroup": "12:cpu,cpuacct:/a\n4:hugetlb,memory:/docker/abc\n1:name=systemd:/x\n",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes": `${GiB}\n`,
    "/sys/fs/cgroup/memory/memory.usage_in_bytes": `${GiB / 2}\n`,
    "/sys/fs/cgroup/memory/memory.stat": `inactive_file 1\ntotal_inactive_file ${GiB / 4}\n`,
  }
  expect(available(files)).toBe(0.75 * GiB)
  expect(available({ ...files, "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n" })).toBe(8 * GiB)
})

it("names the user", () => {
  expect(linuxHost().userName?.()).toMatch(/./)
})

it("looks for the C library's calls when the first is needed, and once", () => {
  let loads = 0
  const host = linuxHost(undefined, () => {
    loads++
    return undefined
  })
  host.bootId?.()
  host.userName?.()
  host.memoryAvailableBytes?.()
  expect(loads).toBe(0)
  expect([host.punchHole, host.nextData, host.readCached, host.peerCredentials, host.bindToDevice]).toEqual(
    new Array(5).fill(undefined),
  )
  expect(loads).toBe(1)
})
