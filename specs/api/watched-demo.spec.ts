/**
 * A room of 24 simulated PCs boots while two who watch it over SSE are cut off again and again: every event comes once, in order, and the status that is put together
 * from what changed is the server's own.
 */
import { mkdirSync, writeFileSync } from "node:fs"
import { get, type IncomingMessage } from "node:http"
import { join } from "node:path"
import { afterAll, expect, it } from "vitest"
import { bootTrace } from "../../adapters/cli/demo/boot-trace.ts"
import { type Pc, powerOn } from "../../adapters/cli/demo/power-on.ts"
import { fillSample, writeSample } from "../../adapters/cli/demo/sample.ts"
import { simulate } from "../../adapters/cli/demo/simulated-client.ts"
import { makeStages } from "../../adapters/cli/demo/stages.ts"
import { startServer } from "../../adapters/compose-server.ts"
import { effectiveConfig } from "../../core/runtime/config.ts"
import type { Input, OperationName } from "../../core/runtime/site.ts"
import type { ClientStatus } from "../../core/runtime/status.ts"
import type { StatusEvent } from "../../core/runtime/status-feed.ts"
import { scratch } from "../support/cli.ts"
import { until } from "../support/committing.ts"

const CLIENTS = 24
const SIZE = 4 * 2 ** 20
const actor = { kind: "cli", name: "operator" } as const
const dir = scratch("watched")
const image = Buffer.alloc(SIZE)
fillSample(image, 1)
writeSample(join(dir, "sample.raw"), image)
const program = Buffer.alloc(65_536, 3)
mkdirSync(join(dir, "data", "boot"), { recursive: true })
writeFileSync(join(dir, "data", "boot", "snponly.efi"), program)

const ports = { "dhcp-port": 0, "dhcp-proxy-port": 0, "tftp-port": 0, "http-port": 0, "iscsi-port": 0, "nbd-port": 0 }
const dhcp = { dhcp: "full", interface: "lo", "dhcp-range": "127.78.0.10-127.78.0.250" } as const
const config = effectiveConfig([{ from: "spec", settings: { ...dhcp, ...ports, "api-port": 0 } }])
const server = await startServer({ dataDir: join(dir, "data"), config, onEvent: () => {} })
const wires = await server.pcs("127.78.255.1")
afterAll(async () => {
  await wires.close()
  await server.close()
})
const ask = <N extends OperationName>(name: N, input: Input<N>) => server.site.call(name, input, { actor } as never)

interface SentEvent {
  readonly id: string
  readonly name: string
  readonly data: string
}

/** Follows a stream, and is cut off after so many events, in the middle of whatever comes then; comes back with the id it saw last. */
class Watcher {
  readonly seen: Array<SentEvent> = []
  cuts = 0
  readonly #path: string
  readonly #token: string
  #response: IncomingMessage | undefined
  #stopped = false

  constructor(path: string, token: string) {
    this.#path = path
    this.#token = token
    this.#connect()
  }

  cut(): void {
    this.cuts++
    this.#response?.destroy()
  }

  stop(): void {
    this.#stopped = true
    this.#response?.destroy()
  }

  #connect(): void {
    const last = this.seen.at(-1)?.id
    const headers = {
      authorization: `Bearer ${this.#token}`,
      ...(last === undefined ? {} : { "last-event-id": last }),
    }
    get(`http://${server.listeners.api}${this.#path}`, { headers }, (response) => {
      this.#response = response
      expect([response.statusCode, response.headers["content-type"]]).toEqual([200, "text/event-stream"])
      let rest = ""
      response.setEncoding("utf8")
      response.on("data", (chunk: string) => {
        const blocks = (rest + chunk).split("\n\n")
        rest = blocks.pop()!
        for (const block of blocks) this.#take(block)
      })
      response.on("error", () => {})
      response.once("close", () => (this.#stopped ? undefined : this.#connect()))
    }).on("error", () => {})
  }

  #take(block: string): void {
    const field = (key: string) => new RegExp(`^${key}: (.*)$`, "m").exec(block)?.[1]
    const [id, name, data] = [field("id"), field("event"), field("data")]
    if (id !== undefined && name !== undefined && data !== undefined) this.seen.push({ id, name, data })
  }
}

const tokenOf = async (role: "viewer" | "auditor") => (await ask("token.create", { name: role, role })).token

/** What a follower of the status knows. */
const putTogether = (seen: ReadonlyArray<SentEvent>) => {
  const rows = new Map<string, ClientStatus>()
  const states = new Map<string, Set<string>>()
  for (const { name, data } of seen) {
    const { clients, gone } = JSON.parse(data) as StatusEvent
    if (name === "status") rows.clear()
    for (const row of clients) {
      rows.set(row.mac, row)
      states.set(row.mac, (states.get(row.mac) ?? new Set()).add(row.state))
    }
    for (const mac of gone) rows.delete(mac)
  }
  return { rows, states }
}

const still = ({ client, state, sessions, image, version }: ClientStatus) => ({
  client,
  state,
  sessions,
  image,
  version,
})

it("every event comes once and in order, and the status is whole, however often they are cut off", async () => {
  const events = new Watcher("/api/v1/events", await tokenOf("auditor"))
  const status = new Watcher("/api/v1/status/events", await tokenOf("viewer"))
  await ask("image.add", { name: "sample", path: join(dir, "sample.raw"), check: true })
  const pcs: ReadonlyArray<Pc> = Array.from({ length: CLIENTS }, (_, i) => ({
    name: `PC-${String(i + 1).padStart(3, "0")}`,
    mac: `52:54:00:00:00:${i.toString(16).padStart(2, "0")}`,
  }))
  const rows = pcs.map((pc, i) => ({ line: i + 2, ...pc }))
  await ask("client.import", { rows, file: "room.csv", image: "sample" })

  const stages = makeStages(() => performance.now())
  const trace = bootTrace(SIZE).slice(0, 40)
  let booted = 0
  const boots = pcs.map(async (pc, index) => {
    const { disk, again } = await powerOn(pc, wires, stages, program)
    if (++booted % 6 === 0) for (const watcher of [events, status]) watcher.cut()
    await simulate({ name: pc.name, index, image, trace, disk, again, stages })
  })
  // An operator works meanwhile.
  for (const pc of pcs) await ask("client.set", { client: pc.name, options: { "kernel-args": "quiet" } })
  await Promise.all(boots)
  expect(stages.problems).toEqual([])
  await until(async () => (await ask("boots", {})).length === CLIENTS)

  const stored: Array<string> = []
  const onItem = (text: string) => void stored.push(text)
  await server.site.call("log", {}, { actor, onItem } as never)
  await until(() => events.seen.length >= stored.length)
  expect(events.seen.map(({ id }) => Number(id))).toEqual(stored.map((_, i) => i + 1))
  expect(events.seen.map(({ data }) => data)).toEqual(stored)
  expect(new Set(stored.map((text) => JSON.parse(text).type as string))).toContain("ClientBooted")

  const now = async () => (await ask("status", {})).clients.map(still)
  await until(async () => {
    const known = [...putTogether(status.seen).rows.values()].map(still)
    return JSON.stringify(sorted(known)) === JSON.stringify(sorted(await now()))
  })
  const numbers = status.seen.map(({ id }) => Number(id.split("-")[1]))
  expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b))
  expect(status.seen.map(({ name }) => name)).toEqual(["status", ...status.seen.slice(1).map(() => "changes")])
  expect([events.cuts, status.cuts]).toEqual([4, 4])
  for (const watcher of [events, status]) watcher.stop()
}, 120_000)

const sorted = (rows: ReadonlyArray<ReturnType<typeof still>>) =>
  rows.toSorted((a, b) => (a.client! < b.client! ? -1 : 1))
