/** Given events, when a command, then events or an error code; with short makers for both. */
import * as Result from "effect/Result"
import { expect } from "vitest"
import { type Catalogue, initial } from "../../core/domain/catalogue.ts"
import type { Body, CommandBody } from "../../core/domain/commands.ts"
import { decide } from "../../core/domain/decide.ts"
import { event } from "../../core/domain/decision.ts"
import type { DomainEvent, EventData, OverlayPolicy } from "../../core/domain/events.ts"
import { evolve } from "../../core/domain/evolve.ts"
import type { ErrorCode, ImagelinkError } from "../../core/errors.ts"

/** A UUID that tells what it was made for: `id(0xc, 7)`. */
export const id = (kind: number, n: number): string =>
  `${kind.toString(16).padStart(8, "0")}-0000-7000-8000-${n.toString(16).padStart(12, "0")}`
export const imageId = (n: number): string => id(1, n)
export const clientId = (n: number): string => id(2, n)
export const mac = (n: number): string =>
  `52:54:00:${(n >> 16).toString(16).padStart(2, "0")}:${((n >> 8) & 255).toString(16).padStart(2, "0")}:${(n & 255).toString(16).padStart(2, "0")}`
export const pc = (n: number): string => `PC-${String(n).padStart(3, "0")}`

const file = (path: string) => ({ path, sizeBytes: "1048576", identity: { mtime: "1", inode: "7" } })
export const disk = (name: string) => ({
  storage: { kind: "file", config: { path: `/images/${name}.raw` } },
  format: "raw",
  sizeBytes: "1048576",
  files: [file(`/images/${name}.raw`)],
})

export const checksums = (n = 0): EventData<"ImageChecked">["checksums"] => ({
  algorithm: "crc32c",
  clusterBytes: 65536,
  clusters: 16,
  sidecar: `${n}.crc`,
  sha256: n.toString(16).padStart(64, "0"),
})

// Events ------------------------------------------------------------------------------------------------------------

export const imageRef = (n: number, name = "win11") => ({ id: imageId(n), name })
export const clientRef = (n: number, name = pc(n)) => ({ id: clientId(n), name, mac: mac(n) })

export const imageAdded = (n: number, name = "win11"): DomainEvent =>
  event("ImageAdded", { image: imageRef(n, name), version: 1, ...disk(name) })
export const place = (name: string) => {
  const { storage, files } = disk(name)
  return { storage, files }
}
export const imageRelocated = (n: number, from: string, to: string): DomainEvent =>
  event("ImageRelocated", { image: imageRef(n), version: 1, from: place(from), to: place(to) })
export const imageRemoved = (n: number, name = "win11", sidecars: ReadonlyArray<string> = []): DomainEvent =>
  event("ImageRemoved", { image: imageRef(n, name), versions: 1, sidecars })
export const registered = (n: number, name = pc(n), address: string | null = null): DomainEvent =>
  event("ClientRegistered", { client: clientRef(n, name), address })

type LinkState = EventData<"ClientLinked">["to"]
export const to = (
  n: number,
  name = "win11",
  pinned: number | null = null,
  overlay: OverlayPolicy = "discard",
): LinkState => ({
  image: imageRef(n, name),
  pinned,
  version: pinned ?? 1,
  overlay,
})
export const linked = (
  n: number,
  slot: number,
  target: LinkState,
  from: LinkState | null = null,
  name = pc(n),
): DomainEvent => event("ClientLinked", { client: clientRef(n, name), slot, to: target, from })
type ClientState = EventData<"ClientChanged">["to"]
export const state = (n: number, name = pc(n), address: string | null = null, macOf = n): ClientState => ({
  name,
  mac: mac(macOf),
  address,
})
export const clientChanged = (n: number, from: ClientState, to: ClientState): DomainEvent =>
  event("ClientChanged", { client: { id: clientId(n), name: from.name, mac: from.mac }, from, to })
export const clientRemoved = (
  n: number,
  links: EventData<"ClientRemoved">["links"] = [],
  address: string | null = null,
): DomainEvent => event("ClientRemoved", { client: clientRef(n), address, links })
export const unlinked = (n: number, slot: number, from: LinkState): DomainEvent =>
  event("ClientUnlinked", { client: clientRef(n), slot, from })
export const reset = (n: number, slot: number, link: LinkState): DomainEvent =>
  event("OverlayReset", { client: clientRef(n), slot, link })

// Commands ----------------------------------------------------------------------------------------------------------

export const addImage = (n: number, name = "win11", more: Partial<Body<"AddImage">> = {}): Body<"AddImage"> => ({
  type: "AddImage",
  imageId: imageId(n),
  name,
  ...disk(name),
  ...more,
})
export const relocate = (n: number, to: string, version = 1): Body<"RelocateImage"> => ({
  type: "RelocateImage",
  imageId: imageId(n),
  version,
  ...place(to),
})
export const removeImage = (name = "win11"): Body<"RemoveImage"> => ({ type: "RemoveImage", name })
export const register = (n: number, more: Partial<Body<"RegisterClient">> = {}): Body<"RegisterClient"> => ({
  type: "RegisterClient",
  clientId: clientId(n),
  mac: mac(n),
  ...more,
})
export const link = (
  clients: ReadonlyArray<string>,
  image: string,
  more: Partial<Body<"LinkClients">> = {},
): Body<"LinkClients"> => ({
  type: "LinkClients",
  clients,
  image,
  slot: 0,
  ...more,
})
export const unlink = (clients: ReadonlyArray<string>, slot = 0): CommandBody => ({
  type: "UnlinkClients",
  clients,
  slot,
})
export const resetOverlays = (
  clients: ReadonlyArray<string>,
  slot = 0,
  discardSuper = false,
  atNextBoot = false,
): CommandBody => ({
  type: "ResetOverlays",
  clients,
  slot,
  ...(discardSuper ? { discardSuper } : {}),
  ...(atNextBoot ? { atNextBoot } : {}),
})
export const change = (client: string, more: Partial<Body<"ChangeClient">>): Body<"ChangeClient"> => ({
  type: "ChangeClient",
  client,
  ...more,
})
export const removeClients = (
  clients: ReadonlyArray<string>,
  more: Partial<Body<"RemoveClients">> = {},
): Body<"RemoveClients"> => ({ type: "RemoveClients", clients, ...more })
type Row = Body<"ImportClients">["rows"][number]
/** Rows from line 2 on, as below a header. */
export const importRows = (rows: ReadonlyArray<Partial<Row>>, image?: string): Body<"ImportClients"> => ({
  type: "ImportClients",
  file: "lab.csv",
  rows: rows.map((row, i) => ({ line: i + 2, clientId: clientId(1000 + i), mac: "", ...row })),
  ...(image === undefined ? {} : { image }),
})
export const copy = (from: string, targets: Body<"CopyClient">["to"]): Body<"CopyClient"> => ({
  type: "CopyClient",
  from,
  to: targets,
})

// Harness -----------------------------------------------------------------------------------------------------------

export const catalogueOf = (events: ReadonlyArray<DomainEvent>): Catalogue =>
  events.reduce((state, e, i) => evolve(state, { ...e, position: i + 1 }), initial())

export interface Then {
  then(events: ReadonlyArray<DomainEvent>): void
  refused(code: ErrorCode): ImagelinkError
}
const when =
  (catalogue: Catalogue) =>
  (body: CommandBody): Then => {
    const decision = decide(catalogue, body)
    return {
      then: (expected) => {
        if (Result.isFailure(decision)) throw decision.failure
        expect(decision.success).toEqual(expected)
      },
      refused: (code) => {
        if (Result.isSuccess(decision)) throw new Error(`not refused: ${JSON.stringify(decision.success)}`)
        expect(decision.failure.code).toBe(code)
        return decision.failure
      },
    }
  }
export const given = (...events: ReadonlyArray<DomainEvent>) => ({ when: when(catalogueOf(events)) })

/** The same where `image` has versions up to `current`, which no event makes yet. */
export const givenVersions = (image: string, current: number, ...events: ReadonlyArray<DomainEvent>) => {
  const catalogue = catalogueOf(events)
  const entry = catalogue.imagesByName.get(image)!
  while (entry.versions.length < current) {
    const number = entry.versions.length + 1
    entry.versions.push({ ...entry.versions[0]!, number, parent: number - 1 })
  }
  entry.current = current
  return { when: when(catalogue) }
}
