/** The servers that the NBD benches compare, each a process of its own on loopback. */
import { type ChildProcess, spawn } from "node:child_process"
import { writeFileSync } from "node:fs"
import { connect, createServer } from "node:net"
import { join } from "node:path"
import type { Target } from "./load.ts"

/** CPU_PROF=DIR writes a CPU profile of our side there. */
const profile = () =>
  process.env.CPU_PROF === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${process.env.CPU_PROF}`]

/** This server with its whole stack: one image, one client, `serve` as an operator starts it. */
export const startOurs = async (
  dataDir: string,
  image: string,
  cache: string,
  more: ReadonlyArray<string> = [],
): Promise<Target> => {
  await cli("image", "add", "bench", image, "--data", dataDir)
  await cli("client", "add", "52:54:00:00:00:01", "--name", "PC-001", "--data", dataDir)
  await cli("client", "link", "PC-001", "bench", "--data", dataDir)
  const { child, address } = await serve(dataDir, cache, more)
  return target("imagelink", child, `nbd://${address}/client/PC-001/0`)
}

/** The same with so many clients that discard, and as many that keep. */
export const startOursMany = async (dataDir: string, image: string, cache: string, clients: number) => {
  await cli("image", "add", "bench", image, "--no-check", "--data", dataDir)
  const rows = ["discard", "keep"].flatMap((policy, i) =>
    Array.from({ length: clients }, (_, n) => `52:54:00:00:0${i}:${n.toString(16).padStart(2, "0")},${policy}-${n}`),
  )
  const csv = join(dataDir, "clients.csv")
  writeFileSync(csv, `mac,name\n${rows.join("\n")}\n`)
  await cli("client", "import", csv, "--image", "bench", "--data", dataDir)
  await cli("client", "link", `keep-{0..${clients - 1}}`, "bench", "--overlay", "keep", "--data", dataDir)
  const { child, address } = await serve(dataDir, cache)
  const { pid, stop } = target("imagelink", child, "")
  return { pid, stop, uri: (policy: string, n: number) => `nbd://${address}/client/${policy}-${n}/0` }
}

const serve = async (dataDir: string, cache: string, more: ReadonlyArray<string> = []) => {
  const options = ["--json", "--nbd-port", "0", "--cache", cache, "--data", dataDir, "--log-level", "error", ...more]
  const child = spawn(process.execPath, [...profile(), "dist/imagelink.mjs", "serve", ...options], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  const ready = await new Promise<string>((resolve, reject) => {
    child.stdout.once("data", (b: Buffer) => resolve(String(b)))
    child.once("exit", (code) => reject(new Error(`serve ended with ${code}`)))
  })
  return { child, address: (JSON.parse(ready) as { listeners: { nbd: string } }).listeners.nbd }
}

const cli = async (...args: ReadonlyArray<string>): Promise<void> => {
  const child = spawn(process.execPath, ["dist/imagelink.mjs", ...args], { stdio: ["ignore", "ignore", "inherit"] })
  const code = await new Promise((resolve) => child.once("exit", resolve))
  if (code !== 0) throw new Error(`imagelink ${args.join(" ")} ended with ${code}`)
}

/** A script of ours that serves one export when it is called with `serve`, and prints its port. */
export const startScript = async (script: string, name: string): Promise<Target> => {
  const child = spawn(process.execPath, [...profile(), "--conditions=source", script, "serve"], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  const port = await new Promise<string>((resolve) =>
    child.stdout.once("data", (b: Buffer) => resolve(String(b).trim())),
  )
  return target("imagelink", child, `nbd://127.0.0.1:${port}/${name}`)
}

export const startNbdkit = (plugin: string, argument: string): Promise<Target> =>
  peer("nbdkit", (port) => ["-f", "-i", "127.0.0.1", "-p", String(port), plugin, argument])

export const startQemuNbd = (file: string, format = "raw"): Promise<Target> =>
  peer("qemu-nbd", (port) => ["-f", format, "-b", "127.0.0.1", "-p", String(port), "-e", "64", "-t", "-x", "", file])

const peer = async (command: string, args: (port: number) => ReadonlyArray<string>): Promise<Target> => {
  const port = await freePort()
  const child = spawn(command, args(port), { stdio: "ignore" })
  for (let tries = 0; tries < 100 && !(await answers(port)); tries++) await new Promise((r) => setTimeout(r, 50))
  return target(command, child, `nbd://127.0.0.1:${port}/`)
}

const target = (name: string, child: ChildProcess, uri: string): Target => ({
  name,
  pid: child.pid!,
  uri,
  stop: () =>
    new Promise((resolve) => {
      child.once("exit", () => resolve())
      child.kill("SIGTERM")
    }),
})

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy()
      resolve(true)
    }).on("error", () => resolve(false))
  })
