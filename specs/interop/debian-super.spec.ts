/**
 * A week with a real operating system: one PC changes it, its change is the next version, another PC boots that, and the version before again.
 */
import { setTimeout as sleep } from "node:timers/promises"
import { beforeAll, describe, expect, it } from "vitest"
import { imagelink } from "../support/cli.ts"
import { requiresDebian } from "../support/debian-image.ts"
import { type DebianSite, debianSite, START_MILLIS } from "../support/debian-site.ts"

const { skip } = requiresDebian("debian-super.spec.ts")
const SUPER = 1
const OTHER = 2
let site: DebianSite
if (!skip) site = debianSite(["discard", "discard"])

beforeAll(async () => {
  if (!skip) await site.start()
}, START_MILLIS)

/** Boots it, looks for what the update brought, and shuts it down. */
const seenBy = async (n: number): Promise<string> => {
  const pc = await site.boot(n)
  expect(await pc.run("cat /run/initramfs/fsck.log")).toContain(": clean,")
  const { output } = await pc.ask("cat /usr/local/bin/browser")
  await pc.powerOff()
  return output
}

/** Nobody closes its sessions: that it is off is noticed because it acknowledges nothing. */
const commitWhenOff = async (): Promise<string> => {
  for (const end = Date.now() + 240_000; ; ) {
    const ran = await imagelink(["image", "commit", "debian", "--note", "browser update"], { data: site.data })
    if (ran.status === 0) return ran.stdout
    expect(ran.stderr).toContain("[OVERLAY_IN_USE]")
    expect(Date.now(), site.server().stderr()).toBeLessThan(end)
    await sleep(1000)
  }
}

describe.skipIf(skip)("a super client with Debian", () => {
  it("changes the disk, and what it wrote is the next version", async () => {
    await site.ok("client", "set-super", "PC-001", "debian")
    const pc = await site.boot(SUPER)
    await pc.run("echo 'browser 2' >/usr/local/bin/browser && rm -r /usr/share/perl5 && mkdir -p /opt/new")
    await pc.run(
      "for i in 1 2 3 4 5; do dd if=/dev/urandom of=/opt/new/$i bs=1M count=1; done && cd /opt/new && sha256sum ? >sums",
    )
    await pc.powerOff()
    expect(await commitWhenOff()).toContain("debian@2")
    expect(site.server().stderr()).toContain("the initiator is off, or out of reach")
  }, 600_000)

  it("gives it to the others at their next boot, and takes it back", async () => {
    const pc = await site.boot(OTHER)
    expect(await pc.run("cat /usr/local/bin/browser")).toBe("browser 2")
    expect(await pc.run("cd /opt/new && sha256sum -c sums")).toMatch(/^(\d: OK\n?){5}$/)
    expect(await pc.run("cat /run/initramfs/fsck.log")).toContain(": clean,")
    await site.ok("image", "rollback", "debian")
    // What runs stays what it is.
    expect(
      await pc.run("echo 3 >/proc/sys/vm/drop_caches; cat /usr/local/bin/browser; ls -d /usr/share/perl5 || true"),
    ).toMatch(/^browser 2\nls: /)
    await pc.powerOff()
    expect(await seenBy(OTHER)).toBe("cat: /usr/local/bin/browser: No such file or directory")
  }, 900_000)
})
