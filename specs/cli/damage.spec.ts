/** A bad cluster: an error for that range and no other, recorded once, found by the scrub too, and named with all an operator needs. */
import { closeSync, openSync, readdirSync, statSync, utimesSync, writeSync } from "node:fs"
import { join } from "node:path"
import { expect, it, onTestFinished } from "vitest"
import { compose, openSite, tokens } from "../../adapters/compose.ts"
import { type RunningServer, startServer } from "../../adapters/compose-server.ts"
import { connectNbd } from "../../adapters/nbd/client.ts"
import type { EventData } from "../../core/domain/events.ts"
import type { Actor, Recorded } from "../../core/log/event-log.ts"
import { effectiveConfig } from "../../core/runtime/config.ts"
import { scratch } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"

const KiB = 1024
const CLUSTER = 64 * KiB
const actor: Actor = { kind: "cli", name: "operator" }
const folder = scratch("damage")
const data = join(folder, "data")
const image = rawImage(folder, "win11.raw", 8 * CLUSTER)

const start = async (dataDir = data) => {
  const said: Array<string> = []
  const config = effectiveConfig([{ from: "the spec", settings: { "nbd-port": 0 } }])
  const server = await startServer({ dataDir, config, onEvent: ({ text }) => void said.push(text) })
  let closed: Promise<void> | undefined
  const close = () => (closed ??= server.close())
  onTestFinished(close)
  return { ...server, close, said }
}
const disk = async (server: RunningServer, name: string) => {
  const [host = "", port] = server.listeners.nbd!.split(":")
  return connectNbd({ host, port: Number(port), export: name })
}
const checks = async ({ site }: RunningServer) => {
  const events: Array<Recorded<string, EventData<"ImageChecked">>> = []
  const onItem = (line: string) => void events.push(JSON.parse(line))
  await site.call("log", { type: "ImageChecked" }, { actor, onItem })
  return events.map(({ data: { result, mismatches, partial } }) => [result, mismatches.clusters, partial ?? false])
}
/** Writes over a file behind the server's back. */
const overwrite = (cluster: number, bytes: Uint8Array, path = image.path) => {
  const fd = openSync(path, "r+")
  writeSync(fd, bytes, 0, bytes.length, cluster * CLUSTER)
  closeSync(fd)
}

it("is an error for its range only, is never served, and is one event, however often and by whom it is read", async () => {
  const server = await start()
  await server.site.call("image.add", { name: "win11", path: image.path, check: true }, { actor })
  for (const n of [1, 2]) {
    await server.site.call("client.add", { mac: `52:54:00:00:00:0${n}` }, { actor })
    await server.site.call("client.link", { clients: [`PC-00${n}`], image: "win11", slot: 0 }, { actor })
  }
  const [one, two] = [await disk(server, "client/PC-001/0"), await disk(server, "client/PC-002/0")]
  overwrite(3, Buffer.from("wrong"))
  for (const from of [one, two, one]) {
    await expect(from.read(3 * CLUSTER + 512, 512)).rejects.toMatchObject({ message: expect.stringMatching(/EIO|5/) })
    await expect(from.read(2 * CLUSTER, 2 * CLUSTER)).rejects.toThrow()
    expect((await from.read(2 * CLUSTER, CLUSTER)).equals(image.bytes.subarray(2 * CLUSTER, 3 * CLUSTER))).toBe(true)
    expect((await from.read(4 * CLUSTER, CLUSTER)).equals(image.bytes.subarray(4 * CLUSTER, 5 * CLUSTER))).toBe(true)
  }
  await expect
    .poll(() => checks(server), { timeout: 20_000 })
    .toEqual([
      ["verified", [], false],
      ["mismatch", [3], true],
    ])
  expect(server.said.filter((text) => text.includes("CRC_MISMATCH"))).toHaveLength(1)
  const [version] = (await server.site.call("image.show", { name: "win11" }, { actor })).image.versions
  expect([version!.checked, version!.mismatches]).toEqual(["mismatch", { count: 1, clusters: [3] }])
  await one.disconnect()
  await two.disconnect()
  // what is on its way into the log when the server stops gets there
  const three = await disk(server, "image/win11@1").catch((e) => e)
  expect(String(three)).toContain("image win11")
  await server.close()
})

it("that is put right is right again, and recorded again when it goes bad again; a restart records nothing by itself", async () => {
  const server = await start()
  overwrite(3, image.bytes.subarray(3 * CLUSTER, 4 * CLUSTER))
  await server.site.call("image.check", { name: "win11" }, { actor })
  const one = await disk(server, "client/PC-001/0")
  expect((await one.read(0, 8 * CLUSTER)).equals(image.bytes)).toBe(true)
  overwrite(7, Buffer.from("wrong"))
  await one.disconnect()
  await server.close()
  expect((await start().then(async (s) => [await checks(s), await s.close()]))[0]).toEqual([
    ["verified", [], false],
    ["mismatch", [3], true],
    ["verified", [], false],
  ])
})

it("is found by the scrub, in an image that nobody reads, once its last check is old enough", async () => {
  const other = join(folder, "other")
  const container = compose().register(tokens.clock, { useValue: { now: () => Date.now() - 31 * 86_400_000 } })
  const site = await openSite({ dataDir: other, create: true, container })
  await site.call("image.create", { name: "games", sizeBytes: 8 * CLUSTER }, { actor })
  await site.call("image.seal", { name: "games" }, { actor })
  await site.call("image.check", { name: "games" }, { actor })
  await site.close()
  // As storage goes bad: the bytes change, and the file's time does not.
  const path = join(other, "drafts", readdirSync(join(other, "drafts"))[0]!)
  const { atime, mtime } = statSync(path)
  overwrite(6, Buffer.from("wrong"), path)
  utimesSync(path, atime, mtime)
  const server = await start(other)
  const found = [
    ["verified", [], false],
    ["mismatch", [6], false],
  ]
  await expect.poll(() => checks(server), { timeout: 20_000 }).toEqual(found)
  await expect
    .poll(() => server.said.join("\n"), { timeout: 20_000 })
    .toMatch(
      /scrubbed games@1: 1 of 8 clusters are bad; image games@1: bytes 393216 to 458751 \(LBA 768 to 895\) .*CRC_MISMATCH/,
    )
  await server.close()
})
