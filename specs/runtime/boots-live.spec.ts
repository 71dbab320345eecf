/** Where computers stand, as the operation answers it: all of them, one, and to a follower those that come into trouble. */
import { rmSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, expect, it } from "vitest"
import type { LiveBoot } from "../../core/runtime/live-boot.ts"
import { bootOperations } from "../../core/runtime/operations/boots.ts"
import { scratch } from "../support/cli.ts"
import { operator, type ServingSite, serveHere } from "../support/serving.ts"

const folder = scratch("boots-live")
const actor = operator
let here: ServingSite
let now: ReadonlyArray<LiveBoot> = []

const live = (n: number, more: Partial<LiveBoot> = {}): LiveBoot => ({
  mac: `52:54:00:00:00:0${n}`,
  client: `PC-00${n}`,
  address: null,
  firmware: null,
  state: "script",
  since: 0,
  stages: [],
  stuck: null,
  error: null,
  ...more,
})
/** A site whose clock goes on by one look at each of these lists. */
const looking = (lists: ReadonlyArray<ReadonlyArray<LiveBoot>>, abort = new AbortController()) => {
  const left = [...lists]
  const sleep = async () => {
    const next = left.shift()
    if (next === undefined) abort.abort()
    else now = next
  }
  const liveBoots = { list: () => now, sleep }
  const parts = { ...here.parts, serving: { disks: here.disks, liveBoots } } as unknown as typeof here.parts
  return { operations: bootOperations(parts), signal: abort.signal }
}

beforeAll(async () => {
  here = await serveHere(join(folder, "data"))
  await here.do("client.add", { mac: "52:54:00:00:00:01", name: "PC-001" })
})
afterAll(async () => {
  await here.close()
  rmSync(folder, { recursive: true, force: true })
})

it("everybody is listed, or one client; nobody where no server runs, and an unknown client is refused", async () => {
  now = [live(1), live(2)]
  const { operations } = looking([])
  expect(await operations["boots.live"]({}, { actor })).toEqual(now)
  expect(await operations["boots.live"]({ client: "pc-001" }, { actor })).toEqual([live(1)])
  await expect(operations["boots.live"]({ client: "PC-009" }, { actor })).rejects.toMatchObject({
    code: "CLIENT_NOT_FOUND",
  })
  const alone = bootOperations(here.parts)
  expect(await alone["boots.live"]({}, { actor })).toEqual([])
  expect(await alone["boots.live"]({ follow: true }, { actor })).toEqual([])
})

it("a follower is told of each trouble once, not of what was there before, and of it again when it came back", async () => {
  const stuck = live(2, { stuck: "it has its script, and does not log in at its disk" })
  const error = live(1, { error: { at: 1, text: "there is no such file" } })
  const [well, other] = [live(1), live(2)]
  now = [well, stuck]
  const { operations, signal } = looking([
    [well, stuck],
    [error, stuck],
    [error, stuck],
    [error, other],
    [well, stuck],
    [],
  ])
  const told: Array<LiveBoot> = []
  const onItem = (one: LiveBoot) => void told.push(one)
  expect(await operations["boots.live"]({ follow: true }, { actor, signal, onItem })).toEqual([])
  expect(told).toEqual([error, stuck])
  now = [well, other]
  const again = looking([[error, stuck]])
  await again.operations["boots.live"]({ client: "PC-001", follow: true }, { actor, signal: again.signal, onItem })
  expect(told).toEqual([error, stuck, error])
})
