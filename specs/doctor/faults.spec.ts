/** Faults that are planted in a site's files and settings: each is found by its code, with its fix, and nothing else is. */
import { execFileSync } from "node:child_process"
import { chmodSync, chownSync, cpSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { beforeAll, expect, it } from "vitest"
import { compose, openSite, tokens } from "../../adapters/compose.ts"
import type { ConfigFile } from "../../core/runtime/config-file.ts"
import { scratch } from "../support/cli.ts"
import { bootProgram, bootSector, found, judge, look } from "../support/doctor.ts"
import { requires, skipAloud } from "../support/requires.ts"

const folder = scratch("faults")
const data = join(folder, "data")
const bootFiles = join(folder, "boot files")
const actor = { actor: { kind: "cli", name: "spec" } } as const
const openssl = requires("openssl", "openssl")
const root =
  process.getuid?.() === 0 ? { skip: false } : skipAloud("faults.spec.ts", "needs root, to give a file to another user")

const settings: ConfigFile = {
  "boot-files": bootFiles,
  "nbd-port": 0,
  "tftp-port": 0,
  "http-port": 0,
  "iscsi-port": 0,
}

beforeAll(async () => {
  mkdirSync(bootFiles)
  writeFileSync(join(bootFiles, "undionly.kpxe"), Buffer.alloc(1000, 7))
  writeFileSync(join(bootFiles, "snponly.efi"), bootProgram("1.21.1+git20231006.3b4d0cb9"))
  const path = join(folder, "win11.raw")
  writeFileSync(path, Buffer.concat([bootSector(), Buffer.alloc(512)]))
  const site = await openSite({ dataDir: data, create: true })
  await site.call("image.add", { name: "win11", path, check: true }, actor)
  await site.call("client.add", { mac: "52:54:00:00:00:01", name: "PC-001" }, actor)
  await site.call("client.link", { clients: ["PC-001"], image: "win11", slot: 0 }, actor)
  await site.close()
})

let copies = 0
/** The site's data, to be spoilt. */
const copied = (): string => {
  const copy = join(folder, `copy-${copies++}`)
  cpSync(data, copy, { recursive: true })
  return copy
}

it("a healthy site raises no alarm, also before there is a data folder", async () => {
  const seen = await look(data, settings)
  judge(seen, [])
  const passed = seen.findings.filter(({ state }) => state === "pass").map(({ check }) => check)
  expect([...new Set(passed)].filter((check) => check !== "clock")).toEqual([
    ...["settings", "ports", "interface", "boot files", "data folder", "disk space", "file system", "limits"],
    ...["log", "images"],
  ])
  judge(await look(join(folder, "not there yet"), settings), [])
})

it("a port that another process holds is found, and the process", async () => {
  const holder = createServer()
  const port = await new Promise<number>((resolve) =>
    holder.listen(0, "127.0.0.1", () => resolve((holder.address() as { port: number }).port)),
  )
  const seen = await look(data, { ...settings, "http-port": port })
  judge(seen, ["fail PORT_HELD"])
  expect(found(seen, "PORT_HELD").subject).toBe(`http 127.0.0.1:${port}/tcp`)
  expect(found(seen, "PORT_HELD").error.cause).toContain(`(process ${process.pid}, at 127.0.0.1)`)
  judge(await look(data, { ...settings, address: "127.0.0.2", "http-port": port }), [])
  await new Promise((resolve) => holder.close(resolve))
})

it("an address that this machine has not is found", async () => {
  const seen = await look(data, { ...settings, address: "192.0.2.1" })
  judge(seen, ["fail ADDRESS_MISSING", ...firewallUnread(seen)])
})

/** Whoever is not root hears that rules could not be read. */
const firewallUnread = ({ alarms }: { readonly alarms: ReadonlyArray<string> }) =>
  alarms.filter((alarm) => alarm === "warn FIREWALL_UNREADABLE")

it("a boot program that is missing is found, and half a pair of signed ones", async () => {
  const half = join(folder, "half")
  mkdirSync(join(half, "x86_64-sb"), { recursive: true })
  symlinkSync(join(bootFiles, "snponly.efi"), join(half, "snponly.efi"))
  writeFileSync(join(half, "x86_64-sb", "snponly-shim.efi"), "")
  const seen = await look(data, { ...settings, "boot-files": half })
  judge(seen, ["fail BOOT_FILE_MISSING", "warn SECURE_BOOT_INCOMPLETE"])
  expect(found(seen, "BOOT_FILE_MISSING").error.message).toContain("undionly.kpxe")
  expect(found(seen, "BOOT_FILE_MISSING").error.fix).toContain("apt install ipxe")
  judge(await look(data, { ...settings, "boot-files": join(folder, "nothing") }), ["fail BOOT_FILE_MISSING"])
})

it("an iPXE that is too old is found, where no DHCP of ours leads it to its script", async () => {
  const old = join(folder, "old")
  mkdirSync(old)
  const program = bootProgram("1.0.0+git-20190125.36a4c85-5.1")
  for (const name of ["undionly.kpxe", "snponly.efi"]) writeFileSync(join(old, name), program)
  judge(await look(data, { ...settings, "boot-files": old }), ["warn IPXE_OLD"])
  const led = {
    ...settings,
    "boot-files": old,
    interface: "lo",
    dhcp: "full",
    "dhcp-port": 0,
    "dhcp-proxy-port": 0,
  } as const
  judge(await look(data, led), [])
})

it.skipIf(root.skip)("files of another user in the data folder are found", async () => {
  const copy = copied()
  chownSync(join(copy, "store", "head"), 65_534, 65_534)
  const seen = await look(copy, settings)
  judge(seen, ["fail DATA_OWNER"])
  expect(found(seen, "DATA_OWNER").error.fix).toContain(`chown -R root: ${copy}`)
})

it.skipIf(root.skip)(
  "a store of another user is not opened by root, and its head is looked at all the same",
  async () => {
    const copy = copied()
    execFileSync("chown", ["-R", "65534:65534", copy])
    const seen = await look(copy, settings)
    judge(seen, [])
    expect(seen.findings.find(({ check }) => check === "log")!.text).toMatch(/^\d+ events acknowledged/)
    expect(seen.findings.find(({ check }) => check === "images")!.text).toContain("run doctor as that user")
    expect(execFileSync("find", [copy, "!", "-uid", "65534"]).toString()).toBe("")
  },
)

it.skipIf(root.skip)("files that root may read and the server's user may not are found", async () => {
  const copy = copied()
  const own = join(folder, "own boot files")
  cpSync(bootFiles, own, { recursive: true })
  chmodSync(own, 0o700)
  judge(await look(copy, { ...settings, "boot-files": own }), [])
  execFileSync("chown", ["-R", "65534:65534", copy])
  const seen = await look(copy, { ...settings, "boot-files": own })
  judge(seen, ["fail FILE_UNREADABLE"])
  expect(found(seen, "FILE_UNREADABLE").error.cause).toContain(`may not read ${own}`)
})

it("what others may read or replace is found", async () => {
  const copy = copied()
  chmodSync(copy, 0o777)
  chmodSync(join(copy, "store", "site.key"), 0o644)
  const seen = await look(copy, settings)
  judge(seen, ["warn DATA_OPEN"])
  const fixes = seen.findings.flatMap(({ error }) => (error?.code === "DATA_OPEN" ? [error.fix] : []))
  expect(fixes).toEqual([`chmod o-w ${copy}`, `chmod 600 ${join(copy, "store", "site.key")}`])
})

it("room that is all kept for super clients is found", async () => {
  const seen = await look(data, { ...settings, "overlay-reserve": "1000000G" })
  judge(seen, ["fail DISK_NEARLY_FULL"])
})

it("memory that the settings want and the machine has not is found", async () => {
  judge(await look(data, { ...settings, ram: "1000000G" }), ["warn MEMORY_SHORT"])
})

it("a clock before the log's last event is found", async () => {
  const copy = copied()
  const container = compose().register(tokens.clock, { useValue: { now: () => Date.now() + 86_400_000 } })
  const site = await openSite({ dataDir: copy, create: false, container })
  await site.call("client.add", { mac: "52:54:00:00:00:99" }, actor)
  await site.close()
  judge(await look(copy, settings), ["fail CLOCK_BEHIND"])
})

it("an image whose file is gone is found, and one that was changed", async () => {
  const copy = copied()
  const path = join(folder, "other.raw")
  writeFileSync(path, bootSector())
  const site = await openSite({ dataDir: copy, create: false })
  await site.call("image.add", { name: "other", path, check: true }, actor)
  await site.close()
  writeFileSync(path, Buffer.alloc(512, 1))
  judge(await look(copy, settings), ["fail IMAGE_CHANGED"])
  rmSync(path)
  const seen = await look(copy, settings)
  judge(seen, ["fail IMAGE_FILE_NOT_FOUND"])
  expect(found(seen, "IMAGE_FILE_NOT_FOUND").error.message).toContain("image other")
})

it("a damaged log is found once, and what needs it is skipped", async () => {
  const copy = copied()
  rmSync(join(copy, "store", "db", "CURRENT"))
  const seen = await look(copy, settings)
  judge(seen, ["fail STORE_DAMAGED"])
  expect(
    seen.findings.filter(({ text }) => text === "the store cannot be opened: see log").map(({ check }) => check),
  ).toEqual(["clock", "images"])
})

it("a checkpoint that somebody edited is found", async () => {
  const copy = copied()
  const site = await openSite({ dataDir: copy, create: false })
  const { note } = await site.call("audit.checkpoint", {}, actor)
  await site.close()
  judge(await look(copy, settings), [])
  writeFileSync(join(copy, "tlog", "checkpoint"), note.replace(/\n\d+\n/, "\n999\n"))
  judge(await look(copy, settings), ["fail STORE_DAMAGED"])
})

it.skipIf(openssl.skip)(
  "a certificate that has ended is found, one that ends soon, and a key that is another's",
  async () => {
    const at = (name: string) => join(folder, name)
    const run = (...args: ReadonlyArray<string>) => execFileSync("openssl", args, { stdio: "ignore" })
    for (const name of ["api.key", "other.key"])
      run("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", at(name))
    run("req", "-new", "-key", at("api.key"), "-subj", "/CN=imagelink", "-out", at("api.csr"))
    const key = ["-signkey", at("api.key")]
    for (const [name, days] of Object.entries({ ended: "-1", ends: "3", good: "100" }))
      run("x509", "-req", "-in", at("api.csr"), ...key, "-days", days, "-out", at(`${name}.crt`))
    const check = (crt: string, own = "api.key") =>
      look(data, { ...settings, "api-cert": at(crt), "api-key": at(own) }, ["certificates"])
    judge(await check("ended.crt"), ["fail CERTIFICATE_EXPIRED"])
    judge(await check("ends.crt"), ["warn CERTIFICATE_ENDS_SOON"])
    judge(await check("good.crt", "other.key"), ["fail CERTIFICATE_UNUSABLE"])
    judge(await check("nothing.crt"), ["fail CERTIFICATE_UNUSABLE"])
    judge(await check("good.crt"), [])
  },
)
