/** What a running server tells those who watch it: `/metrics`, and whether it is ready. */

import { EventEmitter } from "node:events"
import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import type { Caller } from "../../adapters/api/caller.ts"
import { listenRemote } from "../../adapters/api/listen.ts"
import { makeWatched } from "../../adapters/compose-metrics.ts"
import { connectNbd } from "../../adapters/nbd/client.ts"
import { fail } from "../../core/errors.ts"
import { watchListener } from "../../core/runtime/listening.ts"
import { serveApi } from "./support.ts"

const site = await serveApi("api-metrics")
const token = await site.token("viewer")

/** Name with labels to value, as a scrape has them. */
const scrape = async (): Promise<ReadonlyMap<string, number>> => {
  const { status, type, text } = await site.ask(token, "GET", "/metrics")
  expect([status, type]).toEqual([200, "text/plain; version=0.0.4; charset=utf-8"])
  expect(text.endsWith("\n")).toBe(true)
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"))
  for (const line of lines) expect(line).toMatch(/^[a-z_]+(\{([a-z]+="[^"\n]*",?)+\})? (-?\d+(\.\d+)?(e[+-]?\d+)?)$/)
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.split(" ").at(-1))]))
}

describe("/metrics", () => {
  it("tells what the site has, as it is now", async () => {
    const empty = await scrape()
    expect([empty.get("imagelink_clients"), empty.get("imagelink_images"), empty.get("imagelink_links")]).toEqual([
      0, 0, 0,
    ])
    await site.do("image.add", { name: "win11", path: site.image, check: false })
    await site.do("client.add", { mac: "52:54:00:00:00:01", name: "PC-001" })
    await site.do("client.add", { mac: "52:54:00:00:00:02", name: "PC-002" })
    await site.do("client.link", { clients: ["PC-001"], image: "win11", slot: 0 })
    const told = await scrape()
    expect([told.get("imagelink_clients"), told.get("imagelink_images"), told.get("imagelink_links")]).toEqual([
      2, 1, 1,
    ])
    expect(told.get("imagelink_log_position")).toBe((await site.do("audit.checkpoint", {})).size)
    expect(told.get("imagelink_log_writable")).toBe(1)
    expect(told.get("imagelink_cache_size_bytes")).toBeGreaterThan(0)
    expect(told.get("process_resident_memory_bytes")).toBeGreaterThan(1e6)
    expect(told.get('imagelink_event_loop_lag_seconds{quantile="0.99"}')).toBeGreaterThanOrEqual(0)
  })

  it("counts a client's session, its boot and what it wrote, while it is there", async () => {
    const [host, port] = site.server.listeners.nbd!.split(":")
    const disk = await connectNbd({ host: host!, port: Number(port), export: "client/PC-001/0" })
    await disk.write(0, Buffer.alloc(4096, 1))
    await disk.read(65_536, 4096)
    const told = await scrape()
    expect(told.get('imagelink_sessions{protocol="nbd"}')).toBe(1)
    expect(told.get('imagelink_boots_total{protocol="nbd"}')).toBe(1)
    expect(told.get('imagelink_boot_stage_duration_seconds_count{stage="login"}')).toBe(1)
    expect(told.get('imagelink_protocol_events_total{protocol="nbd",event="opened"}')).toBe(1)
    expect([told.get("imagelink_overlays"), told.get("imagelink_overlay_bytes")]).toEqual([1, 4096])
    expect(told.get('imagelink_computers{state="running"}')).toBe(1)
    expect(told.get("imagelink_cache_misses_total")).toBeGreaterThan(0)
    const nbd = (kind: string) => `{protocol="nbd",${kind}}`
    expect(told.get(`imagelink_block_bytes_total${nbd('direction="read"')}`)).toBe(4096)
    expect(told.get(`imagelink_block_bytes_total${nbd('direction="write"')}`)).toBe(4096)
    expect(told.get(`imagelink_block_requests_total${nbd('op="read"')}`)).toBe(1)
    expect(told.get(`imagelink_block_duration_seconds_bucket${nbd('op="read",le="+Inf"')}`)).toBe(1)
    expect(told.get(`imagelink_block_duration_seconds_count${nbd('op="flush"')}`)).toBe(0)
    expect(told.get('imagelink_tier_read_bytes_total{tier="file"}')).toBe(65_536)
    expect(told.get('imagelink_tier_read_duration_seconds_count{tier="file"}')).toBe(1)
    await disk.read(65_536 + 8192, 512)
    const again = await scrape()
    expect(again.get('imagelink_tier_read_bytes_total{tier="cache"}')).toBe(512)
    expect(again.get('imagelink_tier_read_bytes_total{tier="file"}')).toBe(65_536)
    await disk.disconnect()
    for (let tries = 0; tries < 200; tries++) {
      if ((await scrape()).get('imagelink_sessions{protocol="nbd"}') === 0) break
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    expect((await scrape()).get('imagelink_sessions{protocol="nbd"}')).toBe(0)
  })

  it("names no metric and no series twice, and says of each what it is", async () => {
    const { text } = await site.ask(token, "GET", "/metrics")
    const series = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"))
    const keys = series.map((line) => line.slice(0, line.lastIndexOf(" ")))
    expect(new Set(keys).size).toBe(keys.length)
    const typed = [...text.matchAll(/^# TYPE (\S+) (counter|gauge|histogram)$/gm)].map(([, name]) => name)
    const helped = [...text.matchAll(/^# HELP (\S+) \S.*$/gm)].map(([, name]) => name)
    expect(typed).toEqual(helped)
    expect(new Set(typed).size).toBe(typed.length)
  })

  it("is for those who have a token, and for nobody else", async () => {
    expect((await site.ask(undefined, "GET", "/metrics")).status).toBe(401)
    expect((await site.ask(token, "POST", "/metrics")).status).toBe(404)
  })

  it("has every metric that the dashboard draws, and the dashboard draws every one of ours", async () => {
    const { text } = await site.ask(token, "GET", "/metrics")
    const told = new Set(
      [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].flatMap(([, name, type]) =>
        type === "histogram" ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name!],
      ),
    )
    const dashboard = readFileSync("examples/grafana/imagelink.json", "utf8")
    const { panels } = JSON.parse(dashboard) as { panels: { targets: { expr: string }[] }[] }
    const drawn = new Set(
      panels.flatMap(({ targets }) =>
        targets.flatMap(({ expr }) => expr.match(/\b(imagelink|process|nodejs)_\w+/g) ?? []),
      ),
    )
    expect(drawn.size).toBeGreaterThan(20)
    expect([...drawn].filter((name) => !told.has(name))).toEqual([])
    const ours = [...told].filter((name) => !/_(sum|count)$/.test(name))
    expect(ours.filter((name) => !drawn.has(name))).toEqual([])
  })
})

describe("/readyz", () => {
  it("answers a server that listens and takes writes, to anybody", async () => {
    const { status, text } = await site.ask(undefined, "GET", "/readyz")
    expect([status, text]).toEqual([200, "ok\n"])
  })

  it("says which listener is gone, though it was there at the start", async () => {
    const socket = new EventEmitter()
    const listens = watchListener(socket, "connection")
    expect(listens()).toBe(true)
    socket.emit("error", new Error("EMFILE"))
    expect(listens()).toBe(false)
    socket.emit("connection")
    expect(listens()).toBe(true)
    socket.emit("close")
    expect(listens()).toBe(false)
    const parts = { log: { refusesWrites: () => undefined } }
    const watched = makeWatched({ parts, listens: () => true, deaf: () => ["nbd"] } as never)
    watched.close()
    expect(watched.unready()).toEqual(["nbd hears nobody any more"])
  })

  it("says why one is not, and /healthz still answers; metrics that cannot be had are an error like any other", async () => {
    const router = { handle: () => {}, close: async () => {} }
    const unready = ["not everything listens yet", "the log takes no events [STORE_READ_ONLY]"]
    const metrics = async () => {
      throw fail("STORE_READ_ONLY", { why: "the disk is full" })
    }
    const caller: Caller = { actor: { kind: "api", name: "prometheus" }, role: "viewer", groups: [] }
    const served = { router, watched: { metrics, unready: () => unready } }
    const listener = await listenRemote(served, () => caller, { address: "127.0.0.1", port: 0, tls: undefined })
    try {
      const ready = await fetch(`http://${listener.at}/readyz`)
      expect([ready.status, await ready.text()]).toEqual([503, `${unready.join("\n")}\n`])
      expect((await fetch(`http://${listener.at}/healthz`)).status).toBe(200)
      const scraped = await fetch(`http://${listener.at}/metrics`)
      expect([scraped.status, await scraped.json()]).toEqual([
        503,
        expect.objectContaining({ code: "STORE_READ_ONLY", cause: "the disk is full" }),
      ])
    } finally {
      await listener.close()
    }
  })
})
