/** iPXE, as qemu's network card carries it, boots from our target: the boot sector it reads there runs and says so on the serial line. */
import { type ChildProcess, spawn } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it } from "vitest"
import { PC1, startIscsi, until } from "../../support/iscsi-server.ts"
import { requires } from "../../support/requires.ts"

const qemu = requires("qemu-system-x86_64", "qemu-system-x86 and ipxe-qemu")
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

it.skipIf(qemu.skip)(
  "iPXE proves its password, hooks the disk and boots it, and its session without a logout leaves nothing",
  async () => {
    const s = await startIscsi({ sizeBytes: 16 * 2 ** 20, server: { secretOf: () => secret } })
    const folder = mkdtempSync(join(tmpdir(), "imagelink-ipxe-"))
    const serial = join(folder, "serial")
    let machine: ChildProcess | undefined
    try {
      s.device.put(0, bootSector(words))
      mkdirSync(join(folder, "tftp"))
      const script = [
        "#!ipxe",
        "set initiator-iqn iqn.2026-11.test:pc-001",
        `set username ${secret.user}`,
        `set password ${secret.secret}`,
        `sanboot iscsi:10.0.2.2::${s.port}:0:${PC1}`,
        "",
      ]
      writeFileSync(join(folder, "tftp", "boot.ipxe"), script.join("\n"))
      const card = `user,model=virtio-net-pci,tftp=${join(folder, "tftp")},bootfile=boot.ipxe`
      const args = [
        "-m",
        "128",
        "-display",
        "none",
        "-serial",
        `file:${serial}`,
        "-nic",
        card,
        "-boot",
        "n",
        "-no-reboot",
      ]
      machine = spawn("qemu-system-x86_64", args, { stdio: "ignore" })
      const said = () => (existsSync(serial) ? readFileSync(serial, "latin1") : "")
      for (let i = 0; i < 1200 && !said().includes(words); i++) await new Promise((r) => setTimeout(r, 100))
      expect(said()).toContain(words)
      expect(s.events.find((e) => e.type === "opened")).toMatchObject({
        initiator: "iqn.2026-11.test:pc-001",
        target: PC1,
        user: secret.user,
      })
      machine.kill("SIGKILL")
      await until(() => s.server.connections() === 0, "the session ended with the machine")
      expect(s.disks.leases("client/PC-001/0")).toBe(0)
    } finally {
      machine?.kill("SIGKILL")
      await s.stop()
      rmSync(folder, { recursive: true, force: true })
    }
  },
  180_000,
)
