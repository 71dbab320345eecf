/**
 * Captures the goldens of this folder: what known iSCSI initiators and a known target really say to each other.
 *
 *     node --conditions=source specs/wire/iscsi/capture.ts      writes every *.txt here again; needs tgt, libiscsi-bin, qemu's iscsi driver, root
 *
 * **Details** A recorder stands between an initiator and Debian's tgtd, whose target has a name of ours, and writes one line per run of bytes in one
 * direction: `C` for the initiator's, `S` for the target's, then hex; `=` begins another connection. tgtd's disk is LUN 1.
 */
import { execFile, execFileSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { type AddressInfo, connect, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { startTgtd } from "../../bench/support/iscsi-targets.ts"

const name = "iqn.2026-11.io.imagelink:pc-001"
const run = promisify(execFile)

const scenes: ReadonlyArray<{ file: string; tool: string; args: (portal: string) => ReadonlyArray<string> }> = [
  { file: "libiscsi-ls", tool: "iscsi-ls", args: (portal) => ["-s", `iscsi://${portal}`] },
  {
    file: "libiscsi-inq",
    tool: "iscsi-inq",
    args: (portal) => ["-e", "1", "-c", "131", `iscsi://${portal}/${name}/1`],
  },
  {
    file: "qemu-io",
    tool: "qemu-io",
    args: (portal) => [
      "-f",
      "raw",
      "-c",
      "write -P 0xa5 0 512",
      "-c",
      "read -P 0xa5 0 1k",
      "-c",
      "flush",
      `iscsi://${portal}/${name}/1`,
    ],
  },
]

const main = async (): Promise<void> => {
  const dir = mkdtempSync(join(tmpdir(), "imagelink-capture-"))
  const disk = join(dir, "disk.raw")
  writeFileSync(disk, Buffer.alloc(1024 * 1024))
  const target = await startTgtd(disk, name)
  try {
    for (const scene of scenes)
      writeFileSync(join(import.meta.dirname, `${scene.file}.txt`), await record(scene, target.url))
  } finally {
    await target.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

const record = async (scene: (typeof scenes)[number], url: string): Promise<string> => {
  const port = Number(/:(\d+)\//u.exec(url)![1])
  const connections: Array<Array<{ who: "C" | "S"; bytes: Buffer }>> = []
  const proxy = createServer((client) => {
    const runs: (typeof connections)[number] = []
    connections.push(runs)
    const server = connect(port, "127.0.0.1")
    const note = (who: "C" | "S", bytes: Buffer): void => {
      const last = runs.at(-1)
      if (last?.who === who) last.bytes = Buffer.concat([last.bytes, bytes])
      else runs.push({ who, bytes })
    }
    client.on("data", (b: Buffer) => note("C", b)).pipe(server)
    server.on("data", (b: Buffer) => note("S", b)).pipe(client)
    client.on("error", () => server.destroy())
    server.on("error", () => client.destroy())
  })
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", () => resolve()))
  const portal = `127.0.0.1:${(proxy.address() as AddressInfo).port}`
  const args = scene.args(portal)
  await run(scene.tool, [...args]).catch(() => undefined)
  await new Promise<void>((resolve) => proxy.close(() => resolve()))
  const version = execFileSync(
    "dpkg-query",
    ["-W", "-f", ["$", "{Package} $", "{Version}; "].join(""), "libiscsi-bin", "qemu-utils", "tgt"],
    { encoding: "utf8" },
  )
  const lines = connections.flatMap((runs) => ["=", ...runs.map((r) => `${r.who} ${r.bytes.toString("hex")}`)])
  return [`# ${[scene.tool, ...args].join(" ").replaceAll(portal, "PORTAL")}`, `# ${version}`, ...lines, ""].join("\n")
}

await main()
