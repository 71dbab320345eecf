import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { sampleBytes, storagePluginSuite } from "imagelink/conformance/storage-plugin"
import { afterAll, afterEach, beforeAll, describe, it } from "vitest"
import remote from "../../../plugins/remote/index.ts"
import { type ObjectServer, objectServer } from "../../support/object-server.ts"

let server: ObjectServer
let temporary: string
let made = 0

beforeAll(async () => {
  server = await objectServer()
  temporary = await fs.mkdtemp(join(tmpdir(), "imagelink-remote-"))
})
afterAll(async () => {
  await server.stop()
  await fs.rm(temporary, { recursive: true, force: true })
})
afterEach(() => {
  server.fault = () => undefined
})

const refused = [
  {},
  { url: "" },
  { url: 7 },
  { url: "disk.raw" },
  { url: "ftp://server/disk.raw" },
  { url: "http://user:word@server/disk.raw" },
  { url: "https://server/disk.raw?X-Amz-Signature=abc" },
  { url: "https://server/disk.raw?token=abc" },
  { url: "https://server/disk.raw#part" },
  { url: "https://server/disk.raw", credentials: "user:word" },
  { url: "https://server/disk.raw", credentials: "file:relative" },
  { url: "https://server/disk.raw", cache: "relative" },
  { url: "https://server/disk.raw", cacheBytes: 1 },
  { url: "https://server/disk.raw", retries: 3 },
]

const sample = async (extra: object = {}) => {
  const bytes = sampleBytes(200_001)
  const path = `/conformance-${made++}.raw`
  server.put(path, bytes)
  return { config: { url: `${server.origin}${path}`, ...extra }, bytes }
}
describe("kept in memory", () =>
  storagePluginSuite({ describe, it }, { plugin: remote, sample: () => sample(), refused }))
describe("kept on disk", () =>
  storagePluginSuite(
    { describe, it },
    { plugin: remote, sample: () => sample({ cache: join(temporary, "conformance") }), refused },
  ))
