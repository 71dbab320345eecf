/**
 * A Debian whose root is on its iSCSI disk boots a PC with UEFI: OVMF's own PXE, snponly.efi, its script, GRUB from the EFI system partition. What it writes is discarded or kept.
 *
 * **Details** The same image as with BIOS. Two PCs run at once; one discards what it writes, the other keeps it.
 */
import { beforeAll, describe, expect, it } from "vitest"
import { events } from "../support/cli.ts"
import { requiresDebian } from "../support/debian-image.ts"
import type { Debian } from "../support/debian-machine.ts"
import { type DebianSite, debianSite, START_MILLIS } from "../support/debian-site.ts"
import { requiresMachine } from "../support/machine.ts"

const needs = [requiresDebian("debian-uefi.spec.ts"), requiresMachine("debian-uefi.spec.ts", "uefi")]
const skip = needs.some((n) => n.skip)
let site: DebianSite
if (!skip) site = debianSite(["discard", "keep"])

beforeAll(async () => {
  if (!skip) await site.start()
}, START_MILLIS)

const bootBoth = () => Promise.all([1, 2].map((n) => site.boot(n, { firmware: "uefi" })))
const filesOf = async (pc: Debian) => (await pc.run("cd /home && echo *")).split(" ")

describe.skipIf(skip)("a PC with UEFI and Debian", () => {
  let discards: Debian
  let keeps: Debian

  it("boots from its network card, and its root is the disk that the firmware opened", async () => {
    ;[discards, keeps] = (await bootBoth()) as [Debian, Debian]
    for (const pc of [discards, keeps]) {
      expect(await pc.run("ls /sys/firmware/efi/fw_platform_size && cat /sys/firmware/efi/fw_platform_size")).toContain(
        "64",
      )
      expect(await pc.run("findmnt -no SOURCE,FSTYPE /")).toMatch(/^\/dev\/sd[ab]1 +ext4$/)
      expect(await pc.run("cat /run/initramfs/fsck.log")).toContain(": clean,")
    }
    expect(await discards.run("cat /sys/class/iscsi_session/*/targetname")).toMatch(/:pc-001:[a-z2-7]{48}$/)
    expect(await keeps.run("cat /sys/class/iscsi_session/*/initiatorname")).toMatch(/initiator:52-54-00-00-00-02$/)
  }, 900_000)

  it("finds what it wrote where it is kept, starts afresh where it is discarded, and no other sees it", async () => {
    await discards.run("echo one >/home/one && sync")
    await keeps.run("echo two >/home/two && sync")
    expect([await filesOf(discards), await filesOf(keeps)]).toEqual([["one"], ["two"]])
    await Promise.all([discards.pull(), keeps.powerOff()])
    ;[discards, keeps] = (await bootBoth()) as [Debian, Debian]
    expect([await filesOf(discards), await filesOf(keeps)]).toEqual([["*"], ["two"]])
    for (const pc of [discards, keeps]) expect(await pc.run("cat /run/initramfs/fsck.log")).toContain(": clean,")
  }, 900_000)

  it("is recorded with its firmware and every stage of its way", async () => {
    const booted = (await events(site.data)).filter((e) => e.type === "ClientBooted")
    expect(booted).toHaveLength(4)
    for (const { data } of booted) {
      const { firmware, stages } = data as { firmware: string; stages: ReadonlyArray<{ readonly name: string }> }
      expect(firmware).toMatch(/UEFI/)
      expect(stages.map(({ name }) => name)).toEqual(["offer", "tftp", "ipxe", "script", "login", "first read"])
    }
  }, 300_000)
})
