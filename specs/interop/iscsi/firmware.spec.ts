/** Computers that boot from our target, by iPXE as qemu's network card carries it and by qemu's own initiator: the boot sector says so on the serial line. */
import { type ChildProcess, spawn } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it } from "vitest"
import { LOGIN_MOVED_FOR_GOOD } from "../../../adapters/iscsi/pdu.ts"
import { PC1, startIscsi, until } from "../../support/iscsi-server.ts"
import { requires } from "../../support/requires.ts"

const qemu = requires("qemu-system-x86_64", "qemu-system-x86 and ipxe-qemu")
const qemuIscsi = requires("qemu-img", "qemu-utils and qemu-block-extra")
const secret = { user: "pc-001", secret: Buffer.from("abcdefghijklmnopqrstuvwx") }
const words = "BOOTED OVER ISCSI"

/** 16-bit code that writes what follows it to COM1, byte by byte, and halts. */
const bootSector = (text: string): Buffer => {
  const code = Buffer.from("fa31c08ed8be0000baf803" + "ac84c07403eeebf8" + "f4ebfd", "hex")
  code.writeUInt16LE(0x7c00 + code.length, 6)
  const sector = Buffer.alloc(512)
  sector.set(code)
  sector.write(`${text}\0`, code.length, "latin1")
  sector.writeUInt16BE(0x55aa, 510)
  return sector
}

/** Runs a machine with a serial line until it says the words. */
const runs = async (folder: string, args: ReadonlyArray<string>, then: (machine: ChildProcess) => Promise<void>) => {
  const serial = join(folder, "serial")
  const common = ["-m", "128", "-display", "none", "-serial", `file:${serial}`, "-no-reboot"]
  const machine = spawn("qemu-system-x86_64", [...common, ...args], { stdio: "ignore" })
  try {
    const said = () => (existsSync(serial) ? readFileSync(serial, "latin1") : "")
    for (let i = 0; i < 1200 && !said().includes(words); i++) await new Promise((r) => setTimeout(r, 100))
    expect(said()).toContain(words)
    await then(machine)
  } finally {
    machine.kill("SIGKILL")
  }
}

const withDisk = async (use: (s: Awaited<ReturnType<typeof startIscsi>>, folder: string) => Promise<void>) => {
  const s = await startIscsi({ sizeBytes: 16 * 2 ** 20, server: { secretOf: () => secret } })
  const folder = mkdtempSync(join(tmpdir(), "imagelink-ipxe-"))
  try {
    s.device.put(0, bootSector(words))
    await use(s, folder)
  } finally {
    await s.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

it.skipIf(qemu.skip)(
  "iPXE goes where it is sent, proves its password and boots the disk, and its session without a logout leaves nothing",
  () =>
    withDisk(async (s, folder) => {
      const sends = await startIscsi({
        server: { elsewhereOf: () => ({ portal: `10.0.2.2:${s.port}`, status: LOGIN_MOVED_FOR_GOOD }) },
      })
      mkdirSync(join(folder, "tftp"))
      const script = [
        "#!ipxe",
        "set initiator-iqn iqn.2026-11.test:pc-001",
        `set username ${secret.user}`,
        `set password ${secret.secret}`,
        `sanboot iscsi:10.0.2.2::${sends.port}:0:${PC1}`,
        "",
      ]
      writeFileSync(join(folder, "tftp", "boot.ipxe"), script.join("\n"))
      const card = `user,model=virtio-net-pci,tftp=${join(folder, "tftp")},bootfile=boot.ipxe`
      await runs(folder, ["-nic", card, "-boot", "n"], async (machine) => {
        const opened = { initiator: "iqn.2026-11.test:pc-001", target: PC1, user: secret.user }
        expect(s.events.find((e) => e.type === "opened")).toMatchObject(opened)
        machine.kill("SIGKILL")
        await until(() => s.server.connections() === 0, "the session ended with the machine")
        expect(s.disks.leases("client/PC-001/0")).toBe(0)
        expect(sends.events.find((e) => e.type === "redirected")).toMatchObject({ target: PC1 })
      }).finally(sends.stop)
    }),
  180_000,
)

it.skipIf(qemu.skip || qemuIscsi.skip)(
  "a machine whose disk qemu itself opens boots it",
  () =>
    withDisk(async (s, folder) => {
      const url = `iscsi://${secret.user}%${secret.secret}@127.0.0.1:${s.port}/${PC1}/0`
      await runs(folder, ["-nic", "none", "-drive", `file=${url},format=raw,if=virtio`], async () => {
        expect(s.events.find((e) => e.type === "opened")).toMatchObject({ target: PC1, user: secret.user })
      })
    }),
  180_000,
)
