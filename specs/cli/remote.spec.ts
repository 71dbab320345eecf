/** `imagelink image add NAME https://…`: from another server's disk to a client's, while that server is there and while it is not. */
import { existsSync } from "node:fs"
import { readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { afterAll, beforeAll, expect, it } from "vitest"
import { connectNbd } from "../../adapters/nbd/client.ts"
import { events, imagelink, json, refusal, scratch, startServe } from "../support/cli.ts"
import { noise } from "../support/nbd-server.ts"
import { type ObjectServer, objectServer } from "../support/object-server.ts"

const MiB = 2 ** 20
/** Many commands, each a process of its own. */
const TIMEOUT_MILLIS = 240_000
const bytes = noise(4 * MiB, 6)
let origin: ObjectServer

beforeAll(async () => {
  origin = await objectServer()
  origin.put("/lab/win11.raw", bytes)
})
afterAll(() => origin.stop().catch(() => undefined))

it(
  "serves an image of another server, also while that is away, and refuses it once it was replaced",
  async () => {
    const data = join(scratch("remote-cli"), "data")
    const url = `${origin.origin}/lab/win11.raw`
    await json(["image", "add", "win11", url], { data })
    const added = (await events(data)).find((e) => e.type === "ImageAdded")
    expect(added?.data).toMatchObject({
      storage: { kind: "remote", config: { url } },
      files: [{ path: url, sizeBytes: "4194304", identity: { etag: '"/lab/win11.raw-1"', sizeBytes: "4194304" } }],
    })
    const served = await startServe(data)
    const open = () => connectNbd({ host: "127.0.0.1", port: served.nbdPort, export: "image/win11@1" })
    const reads = async () => {
      const disk = await open()
      expect(Buffer.compare(await disk.read(0, 4 * MiB), bytes)).toBe(0)
      await disk.disconnect()
    }
    const asked = origin.requests.length
    await reads()
    // What the check has read is in the cache: the object is only looked at.
    expect(origin.requests.slice(asked).filter((line) => !line.endsWith("bytes=0-0"))).toEqual([])
    await origin.stop()
    await reads()
    await origin.start()
    origin.put("/lab/win11.raw", noise(4 * MiB, 7), { etag: '"another"' })
    await expect(open()).rejects.toThrow("win11.raw was changed after it was added (etag changed)")
    origin.put("/lab/win11.raw", bytes)
    await reads()
    await served.stop()
  },
  TIMEOUT_MILLIS,
)

it(
  "refuses what it cannot take, repeats nothing secret, and leaves nothing behind",
  async () => {
    const data = join(scratch("remote-cli"), "data")
    const add = (...args: ReadonlyArray<string>) => imagelink(["image", "add", "win11", ...args, "--json"], { data })
    const ftp = await add("ftp://server/disk.raw")
    expect([ftp.status, refusal(ftp).code, refusal(ftp).message]).toEqual([
      1,
      "PLUGIN_NOT_FOUND",
      'there is no storage plugin "ftp://"',
    ])
    for (const url of [
      "https://reader:hunter2@server/disk.raw",
      "https://server/disk.raw?X-Amz-Signature=hunter2",
      "s3://KEY:hunter2@bucket/disk.raw",
    ]) {
      const refused = await add(url)
      expect([refused.status, refusal(refused).code]).toEqual([1, "PLUGIN_CONFIG_INVALID"])
      expect(refused.stdout + refused.stderr).not.toContain("hunter2")
    }
    expect(refusal(await add(`${origin.origin}/gone.raw`)).code).toBe("IMAGE_FILE_NOT_FOUND")
    expect(existsSync(data)).toBe(false)
  },
  TIMEOUT_MILLIS,
)

it(
  "keeps credentials out of everything it writes and prints",
  async () => {
    const data = join(scratch("remote-cli"), "data")
    origin.fault = (request) =>
      request.headers.authorization === "Basic cmVhZGVyOmh1bnRlcjI=" ? undefined : { status: 401 }
    const config = { url: `${origin.origin}/lab/win11.raw`, credentials: "env:LAB_KEY" }
    const add = ["image", "add", "win11", "--storage", "remote", "--storage-config", JSON.stringify(config)]
    const refused = await imagelink([...add, "--json"], { data, env: { LAB_KEY: "reader:hunter3" } })
    expect([refusal(refused).code, refusal(refused).cause]).toEqual([
      "REMOTE_REFUSED",
      "its server answers 401: reading it is not allowed",
    ])
    const env = { LAB_KEY: "reader:hunter2" }
    const said = [
      refused,
      await imagelink(add, { data, env }),
      await imagelink(["image", "show", "win11"], { data, env }),
    ]
    said.push(await imagelink(["log", "--json"], { data, env }))
    origin.fault = () => undefined
    expect(said.map((run) => run.status)).toEqual([1, 0, 0, 0])
    const files = (await readdir(data, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile())
    const written = await Promise.all(files.map((entry) => readFile(join(entry.parentPath, entry.name))))
    for (const text of [...said.map((run) => run.stdout + run.stderr), ...written])
      for (const secret of ["hunter2", "hunter3", "cmVhZGVyOmh1bnRlcjI"]) expect(text.includes(secret)).toBe(false)
  },
  TIMEOUT_MILLIS,
)
