/** The block-device suite over the whole stack, on real files: guard, overlay, version, cache, format, guard, file plugin. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { blockDeviceConformance } from "imagelink/conformance/block-device"
import { afterAll, beforeAll, describe, it } from "vitest"
import { patterned } from "../support/random.ts"
import { type ServingSite, serveHere } from "../support/serving.ts"

const SIZE = 1024 * 1024 + 512
const reference = patterned(SIZE, 78)
const folder = mkdtempSync(join(tmpdir(), "imagelink-stack-"))
let site: ServingSite
let clients = 0

beforeAll(async () => {
  const path = join(folder, "disk.raw")
  writeFileSync(path, reference)
  site = await serveHere(join(folder, "data"))
  await site.do("image.add", { name: "disk", path, check: true })
})
afterAll(async () => {
  await site.close()
  rmSync(folder, { recursive: true, force: true })
})

const ownDisk = (overlay: "discard" | "keep") => async () => {
  const n = (++clients).toString(16).padStart(4, "0")
  const name = `PC-${n}`
  await site.do("client.add", { mac: `52540000${n}`, name })
  await site.do("client.link", { clients: [name], image: "disk", slot: 0, overlay })
  const lease = await site.attach(name)
  return { device: lease.device, reference: Buffer.from(reference), dispose: lease.release }
}

const features = { byteGranular: true, writable: true, durable: false, trim: true, fastZero: true }

blockDeviceConformance({ describe, it }, { name: "a client's disk", features, make: ownDisk("discard") })
blockDeviceConformance(
  { describe, it },
  { name: "a client's disk that is kept", features: { ...features, durable: true }, make: ownDisk("keep") },
)
