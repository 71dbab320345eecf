/**
 * The Debian package from its building to its purge: dpkg installs it on this very Debian behind an overlay, where a stand-in for systemd starts its unit.
 *
 * **Details** The tests follow one machine and lean on each other. The stand-in asks the real one what needs no running system, and reads the installed unit: user, environment, capabilities and command.
 */
import { execFile } from "node:child_process"
import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import { beforeAll, describe, expect, it } from "vitest"
import { scratch } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"
import { requires } from "../support/requires.ts"
import { requiresThrowawayRoot, type ThrowawayRoot, throwawayRoot } from "../support/throwaway-root.ts"

const root = join(import.meta.dirname, "../..")
const shared = scratch("debian-package")
const buildMillisMax = 240_000
const node = (...args: ReadonlyArray<string>) =>
  promisify(execFile)(process.execPath, [...args], { cwd: root, timeout: buildMillisMax })

const SYSTEMCTL = `#!/bin/sh
unit=/lib/systemd/system/imagelink.service
of() { sed -n "s/^$1=//p" $unit; }
running() { test -e /run/imagelink.pid && kill -0 "$(cat /run/imagelink.pid)" 2>/dev/null; }
echo "$*" >>/srv/systemctl
case " $* " in
*" is-active "*) running ;;
*" start "*)
  cap=-all,+$(of AmbientCapabilities | tr A-Z a-z | sed 's/cap_//; s/ cap_/,+/g')
  setpriv --reuid="$(of User)" --regid="$(of Group)" --init-groups --no-new-privs --bounding-set=$cap --inh-caps=$cap \\
    --ambient-caps=$cap env -i "$(of Environment)" $(of ExecStart) >>/srv/said 2>&1 &
  echo $! >/run/imagelink.pid ;;
*" reload "*) sh -c "$(of ExecReload | sed "s/[$]MAINPID/$(cat /run/imagelink.pid)/")" ;;
*" stop "*)
  if running; then kill "$(cat /run/imagelink.pid)"; fi
  for _ in $(seq 100); do running || break; sleep 0.1; done
  ! running ;;
*" daemon-reload "*) ;;
*) exec systemctl.real --root=/ "$@" ;;
esac
`

const needs = [
  requiresThrowawayRoot("debian-package.spec.ts"),
  requires("dpkg-deb", "dpkg"),
  requires("systemctl", "systemd"),
]
const skip = needs.some((n) => n.skip)

describe.skipIf(skip)("the Debian package", () => {
  let machine: ThrowawayRoot
  let first: string
  let second: string
  let links: string
  let position: string
  const sh = (line: string) => machine.sh(line)
  /** Asked of the running server, as soon as it is there. */
  const untilServed = () =>
    sh(
      "for _ in $(seq 200); do imagelink status --json >/srv/status && exit 0; sleep 0.2; done; cat /srv/status /srv/said; false",
    )
  const pid = () => sh("cat /run/imagelink.pid")
  const build = async (version: string): Promise<string> => {
    const words = ["--out", shared, "--version", version, "--compress", "zstd"]
    return (await node("examples/debian/build.ts", ...words)).stdout.trim().replace(shared, "/srv")
  }

  beforeAll(async () => {
    if (!existsSync(join(root, "dist"))) await node("build.ts")
    first = await build("0.1.0-1")
    second = await build("0.1.0-2")
    mkdirSync(join(shared, "root"))
    machine = await throwawayRoot(shared)
    const fake = join(shared, "fake-systemctl")
    writeFileSync(fake, SYSTEMCTL)
    chmodSync(fake, 0o755)
    rawImage(shared, "win11.raw", 64 * 1024)
    await sh(
      "mv /usr/bin/systemctl /usr/bin/systemctl.real && cp /srv/fake-systemctl /usr/bin/systemctl && mkdir -p /run/systemd/system",
    )
    // A container's, which forbids every service.
    await sh("rm -f /usr/sbin/policy-rc.d")
    await sh("useradd --no-create-home desk && chmod 644 /srv/win11.raw")
  }, 2 * buildMillisMax)

  it("is a package of this architecture that leaves the operator's settings to the operator", async () => {
    expect(await sh(`dpkg-deb --field ${first} Package Version Architecture`)).toMatch(
      /^Package: imagelink\nVersion: 0\.1\.0-1\nArchitecture: (amd64|arm64)\n$/,
    )
    expect(await sh(`dpkg-deb --ctrl-tarfile ${first} | tar -xO ./conffiles`)).toBe("/etc/imagelink/imagelink.toml\n")
    const foreign = await sh(`dpkg-deb --contents ${first} | grep -v ' root/root ' || true`)
    expect(foreign).toBe("")
  })

  it("installs, and its service runs as a user of its own with one capability", async () => {
    await sh(`dpkg --install ${first}`)
    await untilServed()
    expect(await sh("stat -c '%U:%G %a' /var/lib/imagelink /etc/imagelink")).toBe(
      "imagelink:imagelink 750\nroot:imagelink 750\n",
    )
    const uid = (await sh("id -u imagelink")).trim()
    expect(Number(uid)).toBeGreaterThan(0)
    const process = await sh(`cat /proc/${(await pid()).trim()}/status`)
    expect(process).toMatch(new RegExp(`^Uid:\\t${uid}\\t${uid}\\t${uid}\\t${uid}$`, "m"))
    // CAP_NET_BIND_SERVICE is the tenth bit.
    expect([...process.matchAll(/^Cap(?:Prm|Eff|Bnd|Amb):\t0*(\w+)$/gm)].map((m) => m[1])).toEqual(Array(4).fill("400"))
    expect(JSON.parse(await sh("cat /srv/status"))).toMatchObject({ server: { position: 0 } })
  })

  it("is enabled, documented and completed", async () => {
    expect(await sh("imagelink --version")).toMatch(/^\d+\.\d+\.\d+\n$/)
    expect(await sh("test -L /etc/systemd/system/multi-user.target.wants/imagelink.service && echo enabled")).toBe(
      "enabled\n",
    )
    expect(await sh("zcat /usr/share/man/man1/imagelink.1.gz | head -1")).toMatch(/^\.TH IMAGELINK 1 /)
    const said = await sh(
      "ls /usr/share/bash-completion/completions /usr/share/zsh/vendor-completions /usr/share/fish/vendor_completions.d",
    )
    for (const file of ["imagelink", "_imagelink", "imagelink.fish"]) expect(said.split("\n")).toContain(file)
    expect(await sh("bash -n /usr/share/bash-completion/completions/imagelink")).toBe("")
  })

  it("lets members of the group imagelink command the server, and nobody else", async () => {
    const as = (line: string) => sh(`setpriv --reuid=desk --regid=desk --init-groups ${line}`)
    await expect(as("imagelink links")).rejects.toThrow("DATA_ACCESS_DENIED")
    await sh("usermod --append --groups imagelink desk")
    await as("imagelink image add win11 /srv/win11.raw")
    await as("imagelink client add 52:54:00:00:00:01 --name PC-001")
    await as("imagelink client link PC-001 win11")
    links = await as("imagelink links --json")
    expect(JSON.parse(links)).toMatchObject([{ client: "PC-001", image: "win11", version: 1 }])
  })

  it("leaves nothing of root's where a command of root's opened the data itself", async () => {
    await sh("systemctl stop imagelink.service")
    expect(await sh("imagelink links --json")).toBe(links)
    position = await sh("imagelink log --json | tail -1")
    expect(await sh("find /var/lib/imagelink -not -user imagelink")).toBe("/var/lib/imagelink/imagelink.toml\n")
    expect(await sh("readlink /var/lib/imagelink/imagelink.toml")).toBe("/etc/imagelink/imagelink.toml\n")
    await sh("systemctl start imagelink.service")
    await untilServed()
  })

  it("reads its settings again when its service is reloaded", async () => {
    await sh("echo 'log-level = \"debug\"' >>/etc/imagelink/imagelink.toml")
    const before = await pid()
    await sh("systemctl reload imagelink.service")
    await sh(
      "for _ in $(seq 200); do grep 'in force: log-level' /srv/said && exit 0; sleep 0.2; done; cat /srv/said; false",
    )
    expect(await pid()).toBe(before)
    await sh("imagelink status")
  })

  it("is upgraded: other files, the same data and settings, and the service starts anew", async () => {
    const before = await pid()
    const said = await sh(`dpkg --install ${second}`)
    expect(said).not.toContain("Configuration file")
    await untilServed()
    expect(await pid()).not.toBe(before)
    expect(await sh("dpkg --status imagelink | grep -E '^(Status|Version)'")).toBe(
      "Status: install ok installed\nVersion: 0.1.0-2\n",
    )
    expect(await sh("tail -1 /etc/imagelink/imagelink.toml")).toBe('log-level = "debug"\n')
    expect(await sh("imagelink links --json")).toBe(links)
    expect(await sh("imagelink log --json | tail -1")).toBe(position)
    expect(JSON.parse(await sh("imagelink audit verify --json"))).toMatchObject({ size: 4, published: 4 })
    await sh("imagelink client add 52:54:00:00:00:02 --name PC-002")
  })

  it("is removed: the service ends, the programs go, settings and data stay", async () => {
    await sh("dpkg --remove imagelink")
    expect(await sh("kill -0 $(cat /run/imagelink.pid) 2>/dev/null && echo runs || echo ended")).toBe("ended\n")
    expect(await sh("ls -d /usr/lib/imagelink /usr/bin/imagelink 2>/dev/null || true")).toBe("")
    expect(await sh("ls -d /var/lib/imagelink/store /etc/imagelink/imagelink.toml")).toBe(
      "/etc/imagelink/imagelink.toml\n/var/lib/imagelink/store\n",
    )
    const told = (await sh("grep -v -e is-enabled -e is-active -e status /srv/systemctl")).split("\n")
    expect(told.filter((line) => / ?(start|stop) /.test(line)).length).toBeGreaterThanOrEqual(6)
    expect(told).toContain("--system daemon-reload")
  })

  it("is purged: settings and data go too, the image file and the user stay", async () => {
    await sh("dpkg --purge imagelink")
    expect(await sh("ls -d /var/lib/imagelink /etc/imagelink 2>/dev/null || true")).toBe("")
    expect(await sh("find /etc/systemd /var/lib/systemd -name '*imagelink*'")).toBe("")
    expect(await sh("test -s /srv/win11.raw && id --name --user imagelink")).toBe("imagelink\n")
  })
})
