/** `imagelink doctor` on loopback, without privileges: through a relay as the demo's PCs, in words and as JSON, with its exit code. */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, expect, it } from "vitest"
import { imagelink, type Served, scratch, startServe } from "../support/cli.ts"
import { bootProgram, bootSector, examine, judge } from "../support/doctor.ts"

const folder = scratch("doctor-cli")
const data = join(folder, "data")
const boot = join(data, "boot")
let server: Served

beforeAll(async () => {
  mkdirSync(boot, { recursive: true })
  writeFileSync(join(boot, "undionly.kpxe"), Buffer.alloc(1023, 7))
  writeFileSync(join(boot, "snponly.efi"), bootProgram("2.0.0"))
  writeFileSync(join(folder, "win11.raw"), bootSector())
  for (const args of [
    ["image", "add", "win11", join(folder, "win11.raw")],
    ["client", "add", "52:54:00:00:00:01", "--name", "PC-001"],
    ["client", "link", "PC-001", "win11"],
  ])
    expect((await imagelink(args, { data })).status).toBe(0)
  const ports = ["dhcp", "dhcp-proxy", "tftp", "http", "iscsi"].flatMap((protocol) => [`--${protocol}-port`, "0"])
  server = await startServe(data, [
    "--interface",
    "lo",
    "--dhcp",
    "full",
    "--dhcp-range",
    "127.0.0.51-127.0.0.51",
    ...ports,
  ])
}, 60_000)
afterAll(() => server?.stop())

it("a healthy site raises no alarm, the whole way from DHCP to the first block", async () => {
  const seen = await examine([], { data })
  judge(seen, [])
  const client = seen.findings
    .filter(({ side }) => side === "client")
    .map(({ check, state, text }) => [check, state, text])
  expect(client).toEqual([
    ["dhcp", "pass", "127.0.0.51, undionly.kpxe from 127.0.0.1"],
    ["dhcp", "pass", "127.0.0.51, snponly.efi from 127.0.0.1"],
    ["dhcp", "pass", `127.0.0.51, http://${server.listeners.http}/boot/52-54-00-00-00-01.ipxe`],
    ["dhcp", "pass", "no other DHCP server on 127.0.0.1"],
    ["tftp", "pass", "1023 bytes, with options and without"],
    ["tftp", "pass", expect.stringContaining("bytes, with options and without")],
    ["script", "pass", `boots win11@1, by http://${server.listeners.http}/boot/52-54-00-00-00-01.ipxe`],
    ["iscsi", "pass", "iqn.2026-11.io.imagelink:pc-001 is shown"],
    ["iscsi", "pass", "login, and LBA 0 is read: a boot sector"],
  ])
})

it("is a table with its alarms below, each with cause and fix, and a sum", async () => {
  const { status, stdout, stderr } = await imagelink(
    ["doctor", "--only", "tftp,server,interface", "--address", "192.0.2.1"],
    { data },
  )
  expect(status).toBe(1)
  const lines = stdout.split("\n")
  expect(lines[0]).toMatch(/^STATE {2}CHECK +WHAT +FOUND$/)
  expect(lines.slice(1, 5).map((line) => line.split(/\s+/).slice(0, 2))).toEqual([
    ["pass", "server"],
    ["FAIL", "interface"],
    ["pass", "tftp"],
    ["pass", "tftp"],
  ])
  expect(stdout).toContain(
    "\n\nfail: lo does not have the address 192.0.2.1 [ADDRESS_MISSING]\n  cause: it has 127.0.0.1",
  )
  expect(stdout).toMatch(
    /\n {2}fix: give --address one of these.*\n\n3 passed, 0 warnings, 1 failure, 0 skipped; \d+\.\d s\n$/,
  )
  expect(stderr).toMatch(/^doctor: \d of 3\n/)
})

it("has JSON for scripts, with totals, and says nothing else", async () => {
  const { status, stdout, stderr } = await imagelink(["doctor", "--json", "--only", "server,dhcp"], { data })
  expect([status, stderr]).toEqual([0, ""])
  expect(JSON.parse(stdout)).toMatchObject({ totals: { pass: 5, warn: 0, fail: 0, skip: 0 } })
  expect(JSON.parse(stdout).findings[0]).toEqual({
    ...{ check: "server", side: "server", subject: "server", state: "pass" },
    text: expect.stringContaining(`process ${server.pid}`),
  })
})

it("asks as the client that is named, and refuses one that is none", async () => {
  const run = await imagelink(["doctor", "--as", "PC-009"], { data })
  expect([run.status, run.stderr]).toEqual([1, expect.stringContaining("[CLIENT_NOT_FOUND]")])
})
