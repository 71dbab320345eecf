/** A server over memory disks for interop specs, with a folder of its own, and a runner of tools that never blocks the server. */
import { execFile } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { listenNbd } from "../../adapters/nbd/server.ts"
import { MemoryDevice, MemoryDisks, seeded } from "./memory-disks.ts"

export const clientExport = "client/PC-001/0"
export const imageExport = "image/win11@1"

export const startNbd = async (options: { readonly sizeBytes: number; readonly missRate?: number }) => {
  const device = new MemoryDevice(options)
  const image = new MemoryDevice({ ...options, features: { writable: false } })
  const disks = new MemoryDisks().add(clientExport, device, "PC-001 slot 0").add(imageExport, image, "win11 version 1")
  const folder = await mkdtemp(join(tmpdir(), "imagelink-nbd-"))
  const server = await listenNbd({
    address: "127.0.0.1",
    port: 0,
    disks,
    limits: { refusalMillis: 1, closeSeconds: 1 },
  })
  const uri = (name: string): string => `nbd://127.0.0.1:${server.port}/${name}`
  return {
    device,
    image,
    server,
    folder,
    uri: uri(clientExport),
    imageUri: uri(imageExport),
    stop: async () => {
      await server.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Runs a tool; its standard output, or an error with everything it said. */
export const run = (tool: string, ...args: ReadonlyArray<string>): Promise<string> =>
  new Promise((resolve, reject) => {
    const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` }
    execFile(tool, [...args], { env, timeout: 50_000, maxBuffer: 16 * 1024 * 1024 }, (e, stdout, stderr) => {
      if (e === null) resolve(stdout)
      else reject(new Error(`${tool} ${args.join(" ")}\n${stdout}\n${stderr}`, { cause: e }))
    })
  })

/** Bytes that compress badly and repeat nowhere near: each seed its own. */
export const noise = (length: number, seed: number): Buffer => {
  const random = seeded(seed)
  const b = Buffer.alloc(length)
  for (let i = 0; i + 4 <= length; i += 4) b.writeUInt32LE(Math.floor(random() * 2 ** 32), i)
  return b
}
