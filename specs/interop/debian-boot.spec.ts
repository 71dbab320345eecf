/**
 * A Debian whose root is on its iSCSI disk boots from nothing but its network card; what it writes is discarded or kept, and nobody else sees it.
 *
 * **Details** Two PCs run at once. One discards what it writes, the other keeps it and has a second disk.
 */
import { createHash } from "node:crypto"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { beforeAll, describe, expect, it } from "vitest"
import { debianImage, requiresDebian } from "../support/debian-image.ts"
import type { Debian } from "../support/debian-machine.ts"
import { type DebianSite, debianSite, START_MILLIS } from "../support/debian-site.ts"
import { run } from "../support/nbd-server.ts"

const { skip } = requiresDebian("debian-boot.spec.ts")
const SECOND = "/dev/disk/by-path/*-lun-1"
const DISCARDS = 1
const KEEPS = 2
let site: DebianSite
let before: string
if (!skip) site = debianSite(["discard", "keep"])

const sha256 = (file: string) => createHash("sha256").update(readFileSync(file)).digest("hex")

beforeAll(async () => {
  if (skip) return
  await site.start()
  before = sha256(await debianImage())
  const games = join(site.folder, "games")
  mkdirSync(games)
  writeFileSync(join(games, "chess"), "e2 e4\n")
  await run("mke2fs", "-q", "-t", "ext4", "-d", games, `${games}.raw`, "16M")
  await site.ok("image", "add", "games", `${games}.raw`)
  await site.ok("client", "link", "PC-002", "games", "--slot", "1", "--overlay", "keep")
}, START_MILLIS)

const bootBoth = () => Promise.all([site.boot(DISCARDS), site.boot(KEEPS)])
const filesOf = async (pc: Debian) => (await pc.run("cd /home && echo *")).split(" ")

describe.skipIf(skip)("a PC with Debian", () => {
  let discards: Debian
  let keeps: Debian

  it("boots from its network card, and its root is the disk that the firmware opened", async () => {
    ;[discards, keeps] = await bootBoth()
    for (const pc of [discards, keeps]) {
      expect(await pc.run("findmnt -no SOURCE,FSTYPE /")).toMatch(/^\/dev\/sd[ab]1 +ext4$/)
      expect(await pc.run("cat /run/initramfs/fsck.log")).toContain(": clean,")
    }
    expect(await discards.run("cat /sys/class/iscsi_session/*/targetname")).toMatch(/:pc-001:[a-z2-7]{48}$/)
    // What iPXE wrote into the firmware's table is what the initiator calls itself for ever.
    expect(await discards.run("cat /sys/class/iscsi_session/*/initiatorname")).toMatch(/initiator:52-54-00-00-00-01$/)
    expect(await discards.run("cat /sys/firmware/ibft/ethernet0/ip-addr")).toBe("10.77.0.11")
    expect(await discards.run("cat /sys/block/sda/device/vendor")).toMatch(/^IMGLINK/)
  }, 900_000)

  it("sees its other disks, which the firmware did not open", async () => {
    expect(await discards.run("cd /sys/block && echo sd*")).toBe("sda")
    await keeps.run(`mount ${SECOND} /mnt`)
    expect(await keeps.run("cat /mnt/chess")).toBe("e2 e4")
    await keeps.run("echo e7 e5 >>/mnt/chess && umount /mnt")
  }, 300_000)

  it("finds what it wrote where it is kept, starts afresh where it is discarded, and no other sees it", async () => {
    await discards.run("echo one >/home/one && sync")
    await keeps.run("echo two >/home/two && sync")
    expect([await filesOf(discards), await filesOf(keeps)]).toEqual([["one"], ["two"]])
    // One loses its power in the middle of writes: nobody closes its sessions.
    await discards.run(
      "(while :; do dd if=/dev/urandom of=/home/junk bs=64k count=16 conv=fsync; done) >/dev/null 2>&1 &",
    )
    await Promise.all([discards.pull(), keeps.powerOff()])
    ;[discards, keeps] = await bootBoth()
    expect([await filesOf(discards), await filesOf(keeps)]).toEqual([["*"], ["two"]])
    for (const pc of [discards, keeps]) expect(await pc.run("cat /run/initramfs/fsck.log")).toContain(": clean,")
    expect(await keeps.run(`mount ${SECOND} /mnt && cat /mnt/chess && umount /mnt`)).toBe("e2 e4\ne7 e5")
  }, 900_000)

  it("leaves the image's file as it was, and the log knows four boots", async () => {
    await Promise.all([discards.powerOff(), keeps.powerOff()])
    expect(sha256(await debianImage())).toBe(before)
    const boots = (await site.ok("boots", "--json"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line))
    const told = boots.map(({ client, image, version, overlay, address, protocol }) =>
      [client.name, `${image.name}@${version}`, overlay, address, protocol].join(" "),
    )
    const expected = ["PC-001 debian@1 discard 10.77.0.11 iscsi", "PC-002 debian@1 keep 10.77.0.12 iscsi"]
    expect(told.sort()).toEqual([expected[0], expected[0], expected[1], expected[1]])
    expect(new Set(boots.map(({ boot }) => boot)).size).toBe(4)
  }, 300_000)
})
