/** What is read of the system: sockets, mounts, and the version in a boot program. */
import { describe, expect, it } from "vitest"
import { placeOf } from "../../adapters/doctor/exam.ts"
import { ipxeVersion, isBeforeAutoexec } from "../../adapters/doctor/system/ipxe-version.ts"
import { mountOf, mountsIn } from "../../adapters/doctor/system/mounts.ts"
import { collides, socketsIn } from "../../adapters/doctor/system/sockets.ts"
import { barrier, userOf } from "../../adapters/doctor/system/users.ts"
import { bytesText } from "../../adapters/doctor/words.ts"
import { bootProgram } from "../support/doctor.ts"

const HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

describe("sockets", () => {
  it("of TCP are those that listen, of UDP those without a peer", () => {
    const rest = "00000000:00000000 00:00000000 00000000     0        0"
    const tcp = `${HEAD}   0: 0100007F:0CBC 00000000:0000 0A ${rest} 31337 1\n   1: 0100007F:0CBC 0200007F:1000 01 ${rest} 31338 1\n`
    expect(socketsIn("tcp", tcp)).toEqual([{ transport: "tcp", address: "127.0.0.1", port: 3260, inode: "31337" }])
    const udp = `${HEAD}   0: 00000000:0045 00000000:0000 07 ${rest} 5 2\n   1: 0100007F:0045 0200007F:1000 01 ${rest} 6 2\n`
    expect(socketsIn("udp", udp)).toEqual([{ transport: "udp", address: "0.0.0.0", port: 69, inode: "5" }])
  })

  it("of IPv6 are written as their addresses", () => {
    const line = (address: string) => `${HEAD}   0: ${address}:0CBC ${"0".repeat(32)}:0000 0A 0:0 0:0 0 0 0 7\n`
    const addressOf = (hex: string) => socketsIn("tcp", line(hex))[0]!.address
    expect(addressOf("0".repeat(32))).toBe("::")
    expect(addressOf("00000000000000000000000001000000")).toBe("::1")
    expect(addressOf("0000000000000000FFFF00000100007F")).toBe("127.0.0.1")
  })

  it("are none in nothing", () => expect([socketsIn("tcp", ""), socketsIn("udp", HEAD)]).toEqual([[], []]))

  it("are in each other's way at one address, or where either has all", () => {
    const pairs = [
      ["10.0.0.1", "10.0.0.1"],
      ["0.0.0.0", "10.0.0.1"],
      ["::", "10.0.0.1"],
      ["10.0.0.2", "0.0.0.0"],
      ["10.0.0.2", "10.0.0.1"],
    ] as const
    expect(pairs.map(([held, wanted]) => collides(held, wanted))).toEqual([true, true, true, true, false])
  })
})

it("the innermost mount is a path's, the last of two at one point, and a name beside it is not", () => {
  const info = [
    "22 1 254:0 / / rw - ext4 /dev/vda rw",
    "23 22 0:5 / /srv rw,noatime shared:2 - tmpfs tmpfs rw",
    "24 22 0:6 / /srv rw - xfs /dev/vdb rw",
    "25 22 0:7 / /srv/with\\040space rw - nfs4 nas:/ rw",
    "",
  ].join("\n")
  const typeAt = (path: string) => mountOf(mountsIn(info), path)?.type
  expect(["/", "/srv", "/srv/data", "/srvdata", "/srv/with space/x"].map(typeAt)).toEqual([
    "ext4",
    "xfs",
    "xfs",
    "ext4",
    "nfs4",
  ])
  expect(mountOf([], "/")).toBeUndefined()
})

describe("the version in a boot program", () => {
  it.each([
    ["1.0.0+git-20190125.36a4c85-5.1", true],
    ["1.21.1+git20220112.x", true],
    ["1.21.1+git20220113.fbbdc3926", false],
    ["1.21.1", true],
    ["1.21.1 (g988d2)", true],
    ["1.21.1+", false],
    ["2.0.0", false],
  ])("%s is before autoexec.ipxe: %s", (version, before) => {
    expect(ipxeVersion(bootProgram(version))).toBe(version)
    expect(isBeforeAutoexec(version)).toBe(before)
  })

  it("is not told by one that is packed, nor by one that is no iPXE", () => {
    expect(ipxeVersion(Buffer.from("iPXE\0packed"))).toBeUndefined()
    expect(ipxeVersion(Buffer.from("GRUB\x002.12.1\0"))).toBeUndefined()
    expect(ipxeVersion(Buffer.alloc(0))).toBeUndefined()
  })
})

describe("what a user may read", () => {
  const tree: Readonly<Record<string, { mode: number; uid: number; gid: number }>> = {
    "/": { mode: 0o40755, uid: 0, gid: 0 },
    "/srv": { mode: 0o40750, uid: 0, gid: 7 },
    "/srv/a.raw": { mode: 0o100640, uid: 5, gid: 7 },
    "/root": { mode: 0o40700, uid: 0, gid: 0 },
    "/root/b.raw": { mode: 0o100644, uid: 0, gid: 0 },
  }
  const user = (uid: number, ...gids: ReadonlyArray<number>) => ({ uid, name: "x", gids: new Set(gids) })
  const closed = (who: ReturnType<typeof user>, path: string) => barrier(who, path, (at) => tree[at])

  it("is told by the first class that fits, of the file and of every folder above it", () => {
    expect(closed(user(5, 7), "/srv/a.raw")).toBeUndefined()
    expect(closed(user(6, 7), "/srv/a.raw")).toBeUndefined()
    expect(closed(user(6, 8), "/srv/a.raw")).toBe("/srv")
    expect(closed(user(5, 7), "/root/b.raw")).toBe("/root")
    expect(closed(user(0), "/root/b.raw")).toBeUndefined()
    expect(closed(user(5, 7), "/srv/not there")).toBeUndefined()
  })

  it("a user without an entry is known by number", () => {
    expect(userOf(4_000_000)).toEqual({ uid: 4_000_000, name: "uid 4000000", gids: new Set() })
    expect(userOf(0).name).toBe("root")
  })
})

it("a place is read with either kind of address, and a path is none", () => {
  expect(placeOf("10.0.0.1:69")).toEqual({ address: "10.0.0.1", port: 69 })
  expect(placeOf("[::1]:3260")).toEqual({ address: "::1", port: 3260 })
  expect(placeOf("/run/control.sock")).toBeUndefined()
  expect(placeOf(undefined)).toBeUndefined()
})

it("sizes are written in the unit that fits", () => {
  expect([0, 1023, 1024, 1536, 150 * 2 ** 20, 2 ** 40, 2 ** 51].map(bytesText)).toEqual([
    "0 B",
    "1023 B",
    "1.0 KiB",
    "1.5 KiB",
    "150 MiB",
    "1.0 TiB",
    "2048 TiB",
  ])
})
