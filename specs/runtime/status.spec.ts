/** A server's status: whoever is registered has a row, whoever runs has what it runs, and a store alone has none to tell. */
import { rmSync } from "node:fs"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import type { Catalogue } from "../../core/domain/catalogue.ts"
import type { LinkRow } from "../../core/projections/link-table.ts"
import type { LiveBoot } from "../../core/runtime/live-boot.ts"
import { statusOperations } from "../../core/runtime/operations/status.ts"
import type { OverlayUse } from "../../core/runtime/overlay-owner.ts"
import { clientStatus } from "../../core/runtime/status.ts"
import { scratch } from "../support/cli.ts"
import { operator, serveHere } from "../support/serving.ts"

const folder = scratch("status")
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const mac = (n: number) => `52:54:00:00:00:0${n}`
const registered = (...numbers: ReadonlyArray<number>) =>
  ({
    clients: new Map(numbers.map((n) => [`id-${n}`, { id: `id-${n}`, name: `PC-${n}`, mac: mac(n), address: null }])),
    images: new Map([["image-1", { id: "image-1", name: "win11" }]]),
  }) as unknown as Catalogue
const link = (n: number, version: number, slot = 0) =>
  ({ client: `PC-${n}`, mac: mac(n), slot, image: "win11", version }) as LinkRow
const live = (n: number, more: Partial<LiveBoot> = {}): LiveBoot => ({
  ...{ mac: mac(n), client: `PC-${n}`, address: `10.0.0.${n}`, firmware: null, state: "running", since: 1000 },
  ...{ stages: [], stuck: null, error: null, ...more },
})
const use = (n: number, version: number, slot = 0): OverlayUse => ({
  ...{ clientId: `id-${n}`, slot, imageId: "image-1", version, bytes: 8192, hitBytes: 3, missBytes: 1 },
})

const still = {
  rebootRequested: null,
  sessions: 0,
  readBytesPerSecond: null,
  writtenBytesPerSecond: null,
  cacheHitShare: null,
}
const nobody = new Map()
const noOne = () => undefined
const off = { state: "off", since: null, stuck: null, error: null, writtenBytes: null, address: null, ...still }

describe("the rows of a status", () => {
  it("are none where nobody is registered and nobody was heard of", () => {
    expect(
      clientStatus({
        catalogue: registered(),
        links: [],
        live: [],
        overlays: [],
        traffic: nobody,
        rebootRequested: noOne,
      }),
    ).toEqual([])
  })

  it("are in natural order, and one that was never heard of is off, with what it would boot", () => {
    const rows = clientStatus({
      catalogue: registered(10, 9, 1),
      links: [link(9, 3)],
      live: [],
      overlays: [],
      traffic: nobody,
      rebootRequested: noOne,
    })
    expect(rows).toEqual([
      { client: "PC-1", mac: mac(1), ...off, image: null, version: null },
      { client: "PC-9", mac: mac(9), ...off, image: "win11", version: 3 },
      { client: "PC-10", mac: mac(10), ...off, image: null, version: null },
    ])
  })

  it("show the version that runs, not the one that the next boot gets, and no other slot's", () => {
    const [row] = clientStatus({
      ...{ catalogue: registered(1), links: [link(1, 4), link(1, 9, 1)], live: [live(1)] },
      overlays: [use(1, 3), { ...use(1, 9, 1), bytes: 1, hitBytes: 4, missBytes: 0 }],
      rebootRequested: (id) => (id === "id-1" ? 77 : undefined),
      traffic: new Map([["id-1", { sessions: 2, readBytesPerSecond: 5, writtenBytesPerSecond: 0 }]]),
    })
    expect(row).toEqual({
      ...{
        client: "PC-1",
        mac: mac(1),
        address: "10.0.0.1",
        state: "running",
        since: 1000,
        image: "win11",
        version: 3,
      },
      ...{ writtenBytes: 8192, stuck: null, error: null },
      ...{ rebootRequested: 77, sessions: 2, readBytesPerSecond: 5, writtenBytesPerSecond: 0, cacheHitShare: 0.875 },
    })
  })

  it("end with those that nobody registered, and say what is wrong", () => {
    const error = { at: 5, text: "no such file" }
    const rows = clientStatus({
      ...{ catalogue: registered(5), links: [], overlays: [], traffic: nobody, rebootRequested: noOne },
      live: [
        live(7, { client: null, state: "dhcp" }),
        live(6, { client: null, state: "tftp", stuck: "at tftp", error }),
      ],
    })
    expect(rows.map(({ client, mac, state, stuck, error }) => [client, mac, state, stuck, error])).toEqual([
      ["PC-5", mac(5), "off", null, null],
      [null, mac(6), "tftp", "at tftp", error],
      [null, mac(7), "dhcp", null, null],
    ])
  })
})

describe("the status of a site", () => {
  it("is a running server's to tell: a store that is only open answers SERVER_NOT_REACHABLE", async () => {
    const here = await serveHere(join(folder, "data"))
    try {
      const asked = (parts: typeof here.parts) => statusOperations(parts).status({}, { actor: operator })
      await expect(asked(here.parts)).rejects.toMatchObject({ code: "SERVER_NOT_REACHABLE" })
      const about = { version: "1.2.3", since: 7, memoryBytes: 9, listeners: [{ protocol: "nbd", at: "10.0.0.1:1" }] }
      const starting = { disks: here.disks, about: () => undefined }
      await expect(asked({ ...here.parts, serving: starting } as never)).rejects.toMatchObject({
        code: "SERVER_NOT_REACHABLE",
      })
      await here.do("client.add", { mac: mac(1), name: "PC-1" })
      const serving = { disks: here.disks, about: () => about }
      expect(await asked({ ...here.parts, serving } as never)).toEqual({
        server: { version: "1.2.3", since: 7, memoryBytes: 9, position: here.parts.log.head() },
        listeners: about.listeners,
        clients: [{ client: "PC-1", mac: mac(1), ...off, image: null, version: null }],
      })
    } finally {
      await here.close()
    }
  })
})
