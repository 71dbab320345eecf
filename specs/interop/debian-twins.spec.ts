/**
 * Two PCs with one MAC, as a machine and its copy on another floor: the second one is refused and says why on its screen, the first one goes on with every byte; when that is off, the second one boots.
 *
 * **Details** The first one runs systemd, which starts it to its end and shuts it down: what it keeps is there, and clean.
 */
import { setTimeout as sleep } from "node:timers/promises"
import { beforeAll, describe, expect, it, vi } from "vitest"
import { events } from "../support/cli.ts"
import { DISK_TIMEOUT_SECONDS } from "../support/debian-files.ts"
import { requiresDebian } from "../support/debian-image.ts"
import type { Booting, Debian } from "../support/debian-machine.ts"
import { type DebianSite, debianSite, macOf, START_MILLIS } from "../support/debian-site.ts"
import { type Floor, makeFloor, SERVER } from "../support/network.ts"

const { skip } = requiresDebian("debian-twins.spec.ts")
let site: DebianSite
let floor: Floor
if (!skip) site = debianSite(["keep"], { fromAnywhere: true })

beforeAll(async () => {
  if (skip) return
  await site.start()
  floor = await makeFloor(site.network, `http://${SERVER}:8080/boot/${macOf(1).replaceAll(":", "-")}.ipxe`)
}, START_MILLIS)

const WRITER = [
  "i=0; while [ ! -e /run/stop ]; do i=$((i+1))",
  "dd if=/dev/urandom of=/home/$i bs=64k count=1 conv=fsync || echo failed $i >>/run/failed",
  "(cd /home && sha256sum $i) >>/run/sums; echo $i >/run/rounds; done; touch /run/stopped",
].join("; ")

describe.skipIf(skip)("a PC with systemd, and another one with its MAC", () => {
  let first: Debian
  let second: Booting

  it("the first one comes up to the end, with its root on its iSCSI disk", async () => {
    first = await site.boot(1, { systemd: true })
    expect(await first.run("cat /proc/1/comm")).toBe("systemd")
    expect(await first.run("cat /sys/block/sda/device/timeout")).toBe(String(DISK_TIMEOUT_SECONDS))
    // Units have 90 seconds each to start, which a slow processor may not keep to; what matters is that it comes up, and has who logs in again.
    await first.run("systemctl is-system-running --wait || true")
    for (const unit of ["multi-user.target", "iscsid.service"])
      await first.run(`until systemctl is-active -q ${unit}; do sleep 0.5; done`)
    expect(await first.run("findmnt -no SOURCE,FSTYPE,OPTIONS /")).toMatch(/^\/dev\/sd[ab]1 +ext4 +rw/)
    await first.run(`echo 0 >/run/rounds; { ${WRITER}; } </dev/null >/dev/null 2>&1 &`)
  }, 900_000)

  it("the second one is refused and reported, and its screen says cause and fix", async () => {
    second = site.switchOn(1, { network: floor })
    // Its lines are broken at 80 columns.
    const screen = () => second.said().replaceAll(/\s+/g, " ")
    const fix = () =>
      expect(screen(), site.server().stderr().slice(-4000)).toContain(
        "fix: switch one of them off, or give it a MAC of its own",
      )
    await vi.waitFor(fix, { timeout: 400_000, interval: 500 })
    expect(screen()).toContain("[CLIENT_TWICE]")
    expect(screen()).toMatch(
      /PC-001 runs at 10\.77\.0\.5\d, so its disk is not given to another computer at 10\.78\.0\./,
    )
    const reports = site
      .server()
      .stderr()
      .match(/a computer with its MAC at 10\.78\.0\.\d+ asked for its disk/g)
    expect(reports).toHaveLength(1)
  }, 600_000)

  it("the first one goes on meanwhile, and finds every byte", async () => {
    const rounds = async () => Number(await first.run("cat /run/rounds"))
    for (const from = await rounds(); (await rounds()) < from + 3; ) await sleep(250)
    await first.run("touch /run/stop; until [ -e /run/stopped ]; do sleep 0.2; done")
    expect(await first.run("cat /run/failed 2>/dev/null || true")).toBe("")
    await first.run("echo 3 >/proc/sys/vm/drop_caches && cd /home && sha256sum -c --quiet /run/sums")
    await first.run("cp /run/sums /srv/sums")
    expect((await events(site.data)).filter((e) => e.type === "ClientBooted")).toHaveLength(1)
  }, 600_000)

  it("the first one is shut down by systemd; then the second one boots by itself, and finds what was kept, and a clean disk", async () => {
    await first.powerOff()
    expect(first.said()).toContain("reboot: Power down")
    const other = await second.ready
    expect(await other.run("cat /run/initramfs/fsck.log")).toContain(": clean,")
    await other.run("cd /home && sha256sum -c --quiet /srv/sums")
    expect(await other.run("dmesg | grep -iE 'ext4-fs (error|warning)|recover' || true")).toBe("")
    await other.powerOff()
  }, 900_000)
})
