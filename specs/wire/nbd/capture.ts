/**
 * Captures the goldens of this folder: what known NBD clients and servers really say to each other.
 *
 *     node specs/wire/nbd/capture.ts            writes every *.txt here again
 *
 * **Details** A recorder stands between a client and nbdkit's memory plugin, and writes one line per run of bytes in one direction: `C` for the
 * client's, `S` for the server's, then hex. Needs nbdkit, libnbd's nbdinfo, qemu-io and nbd-client. qemu's cookies are addresses and differ in
 * every capture, so specs take them from the file; a newer tool may send other options, and then the specs that read its file say so.
 */
import { execFile, execFileSync, spawn } from "node:child_process"
import { writeFileSync } from "node:fs"
import { type AddressInfo, connect, createServer } from "node:net"
import { join } from "node:path"
import { promisify } from "node:util"

const sizeBytes = 1024 * 1024
const exportName = "client/PC-001/0"

interface Scene {
  readonly file: string
  readonly tool: string
  readonly args: (port: number) => ReadonlyArray<string>
  readonly version: ReadonlyArray<string>
}

const uri = (port: number): string => `nbd://127.0.0.1:${port}/${exportName}`

const scenes: ReadonlyArray<Scene> = [
  { file: "libnbd-info", tool: "nbdinfo", args: (p) => [uri(p)], version: ["nbdinfo", "--version"] },
  { file: "libnbd-list", tool: "nbdinfo", args: (p) => ["--list", uri(p)], version: ["nbdinfo", "--version"] },
  { file: "libnbd-map", tool: "nbdinfo", args: (p) => ["--map", uri(p)], version: ["nbdinfo", "--version"] },
  {
    file: "qemu-io",
    tool: "qemu-io",
    args: (p) => ["-f", "raw", "-c", "write -P 0xa5 0 512", "-c", "read -P 0xa5 0 512", "-c", "write -z 4k 4k", uri(p)],
    version: ["qemu-io", "--version"],
  },
  {
    file: "nbd-client-list",
    tool: "nbd-client",
    args: (p) => ["-l", "127.0.0.1", String(p)],
    version: ["nbd-client", "-V"],
  },
]

const main = async (): Promise<void> => {
  const serverPort = await freePort()
  const server = spawn("nbdkit", ["-f", "-i", "127.0.0.1", "-p", String(serverPort), "memory", String(sizeBytes)])
  try {
    await new Promise((resolve) => setTimeout(resolve, 500))
    for (const scene of scenes)
      writeFileSync(join(import.meta.dirname, `${scene.file}.txt`), await record(scene, serverPort))
  } finally {
    server.kill()
  }
}

const record = async (scene: Scene, serverPort: number): Promise<string> => {
  const runs: Array<{ who: "C" | "S"; bytes: Buffer }> = []
  let connections = 0
  const proxy = createServer((client) => {
    // Tools that open several connections are recorded on their first.
    const first = ++connections === 1
    const server = connect(serverPort, "127.0.0.1")
    const note = (who: "C" | "S", bytes: Buffer): void => {
      if (!first) return
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
  const port = (proxy.address() as AddressInfo).port
  const args = scene.args(port)
  await promisify(execFile)(scene.tool, [...args]).catch(() => undefined)
  await new Promise<void>((resolve) => proxy.close(() => resolve()))
  const shown = [scene.tool, ...args].join(" ").replaceAll(String(port), "PORT")
  const lines = runs.map((r) => `${r.who} ${r.bytes.toString("hex")}`)
  return [`# ${shown}`, `# ${version(scene.version)} against ${version(["nbdkit", "--version"])}`, ...lines, ""].join(
    "\n",
  )
}

const version = ([tool, ...args]: ReadonlyArray<string>): string =>
  execFileSync(tool!, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] })
    .split("\n")[0]!
    .trim()

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })

await main()
