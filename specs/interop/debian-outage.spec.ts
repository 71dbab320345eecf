/**
 * Four PCs with Debian write all the time. The network of one is cut for minutes; meanwhile the server dies and is restarted under the others. Each goes on with its own disk, and no file system notices.
 *
 * **Details** A PC writes one file after the other, each flushed before its checksum is noted in the PC's memory. In the end all are read again from the disk.
 */
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { beforeAll, describe, expect, it } from "vitest"
import { startServe } from "../support/cli.ts"
import { requiresDebian } from "../support/debian-image.ts"
import type { Debian } from "../support/debian-machine.ts"
import { type DebianSite, debianSite, pc, START_MILLIS } from "../support/debian-site.ts"
import { run } from "../support/nbd-server.ts"
import { runBounded } from "../support/network.ts"
import { requires } from "../support/requires.ts"

const needs = [
  requiresDebian("debian-outage.spec.ts"),
  requires("nbdcopy", "libnbd-bin"),
  requires("e2fsck", "e2fsprogs"),
]
const skip = needs.some((n) => n.skip)
const NUMBERS = [1, 2, 3, 4]
/** Index of the one whose network is cut, and for how long at least. */
const CUT = 2
const CUT_SECONDS = 180
let site: DebianSite
if (!skip) site = debianSite(["discard", "discard", "keep", "keep"])
const pcs: Array<Debian> = []

beforeAll(async () => {
  if (!skip) await site.start()
}, START_MILLIS)

const WRITER = [
  "i=0; while [ ! -e /run/stop ]; do i=$((i+1))",
  "dd if=/dev/urandom of=/home/$i bs=64k count=1 conv=fsync || echo failed $i >>/run/failed",
  "(cd /home && sha256sum $i) >>/run/sums; echo $i >/run/rounds; sleep 0.1; done; touch /run/stopped",
].join("; ")

const rounds = async (one: Debian): Promise<number> => Number(await one.run("cat /run/rounds"))

/** Settles when this PC has written some more. */
const goesOn = async (one: Debian, more = 3): Promise<void> => {
  const from = await rounds(one)
  while ((await rounds(one)) < from + more) await sleep(250)
}

/** While it is cut, one cannot be asked: what is not in its memory is on its disk. */
const others = () => pcs.filter((_, i) => i !== CUT)
const goOn = (which: ReadonlyArray<Debian>) => Promise.all(which.map((one) => goesOn(one)))
const setLink = (state: string) => runBounded([...site.network.inside, "ip", "link", "set", pcs[CUT]!.tap, state], 10)
let cutAt = 0

/** What a kernel says when a disk failed it. */
const complaints = (one: Debian): Promise<string> =>
  one.run(
    "dmesg | grep -iE 'ext4-fs error|ext4-fs warning|i/o error|remounting|aborted journal' || true; cat /run/failed 2>/dev/null || true",
  )

const nothingLost = async (which: ReadonlyArray<Debian>): Promise<void> => {
  for (const one of which) {
    expect(await complaints(one)).toBe("")
    expect(await one.run("cd /srv && echo *")).toBe(pc(pcs.indexOf(one) + 1))
  }
}

describe.skipIf(skip)("four PCs with Debian", () => {
  it("boot at once, each on a disk of its own", async () => {
    pcs.push(...(await Promise.all(NUMBERS.map((n) => site.boot(n)))))
    for (const [i, one] of pcs.entries()) {
      await one.run(`echo own >/srv/${pc(i + 1)} && sync`)
      await one.run(`echo 0 >/run/rounds; { ${WRITER}; } </dev/null >/dev/null 2>&1 &`)
    }
    await goOn(pcs)
    await nothingLost(pcs)
  }, 900_000)

  it("one goes on when an operator disconnects it: its system logs in again", async () => {
    const one = pcs[0]!
    const logins = () =>
      site
        .server()
        .log()
        .filter((line) => / opened iqn\S+:pc-001:/u.test(line)).length
    const before = logins()
    await site.ok("client", "disconnect", pc(1))
    await expect.poll(logins, { timeout: 60_000, interval: 250 }).toBe(before + 1)
    await goesOn(one)
    await nothingLost([one])
  }, 200_000)

  it("go on when the network of one is cut, and that one is taken for off", async () => {
    await setLink("down")
    cutAt = performance.now()
    const gone = () => site.server().stderr().includes("the initiator is off, or out of reach")
    while (!gone()) await goOn(others())
    await nothingLost(others())
  }, 400_000)

  it("go on when their server was killed and is back after five seconds", async () => {
    await site.server().kill("SIGKILL")
    await sleep(5000)
    await site.serve()
    await goOn(others())
    await nothingLost(others())
  }, 400_000)

  it("keep their disks when the server is restarted, though a script was fetched ten times and previewed", async () => {
    const fetch =
      'bash -c "exec 3<>/dev/tcp/10.77.0.1/8080; printf \\"GET /boot/52-54-00-00-00-01.ipxe HTTP/1.0\\r\\n\\r\\n\\" >&3; cat <&3"'
    for (let i = 0; i < 10; i++) expect(await pcs[0]!.run(fetch)).toContain("sanboot iscsi:10.77.0.1::::")
    expect(await site.ok("client", "script", "PC-001")).toContain("sanboot")
    await site.server().stop()
    await site.serve()
    await goOn(others())
    await nothingLost(others())
  }, 400_000)

  it("the one that was cut off goes on when its network is back after minutes", async () => {
    await sleep(Math.max(0, cutAt + CUT_SECONDS * 1000 - performance.now()))
    expect(pcs[CUT]!.said()).not.toMatch(/I\/O error|Remounting filesystem read-only/)
    await setLink("up")
    await goOn(pcs)
    await nothingLost(pcs)
  }, 600_000)

  it("find on their disks what they flushed, and nothing is wrong with the file systems", async () => {
    for (const one of pcs) await one.run("touch /run/stop; until [ -e /run/stopped ]; do sleep 0.2; done")
    for (const one of pcs) {
      await one.run("echo 3 >/proc/sys/vm/drop_caches && cd /home && sha256sum -c --quiet /run/sums")
      expect(await one.run("ls /home | wc -l")).toBe(String(await rounds(one)))
    }
    await Promise.all(pcs.map((one) => one.powerOff()))
    await site.server().stop()
    // As the operator's own machine sees the disks, over NBD on loopback: one that is discarded, and the one that was cut off.
    const server = await startServe(site.data)
    try {
      for (const n of [1, CUT + 1]) {
        const copy = join(site.folder, "copy.raw")
        await run("nbdcopy", `nbd://127.0.0.1:${server.nbdPort}/client/${pc(n)}/0`, copy)
        expect(await run("e2fsck", "-fn", `${copy}?offset=1048576`)).toContain("Pass 5")
      }
    } finally {
      await server.stop()
    }
  }, 400_000)
})
