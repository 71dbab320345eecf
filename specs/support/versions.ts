/** Makers of events and commands about versions, super clients and boots. */
import type { Body } from "../../core/domain/commands.ts"
import { event } from "../../core/domain/decision.ts"
import type { DomainEvent, EventData, NextBoot } from "../../core/domain/events.ts"
import { clientRef, disk, imageId, imageRef } from "./domain.ts"

/** What version `version` of the image is read from. */
export const layerOf = (n: number, version: number) => ({
  storage: { kind: "layer", config: { folder: `${imageId(n)}-v${version}` } },
  format: "qcow2",
  sizeBytes: "1048576",
  files: [{ path: `layers/${imageId(n)}-v${version}/layer.qcow2`, sizeBytes: "262144", identity: { mtime: "2" } }],
  layer: { dataBytes: "65536", zeroBytes: "4096" },
})

// Events ------------------------------------------------------------------------------------------------------------

export const superSet = (
  client: number,
  n: number,
  version = 1,
  resumes: number | null = null,
  slot = 0,
): DomainEvent => event("SuperClientSet", { client: clientRef(client), slot, image: imageRef(n), version, resumes })

export const superCleared = (client: number, n: number, overlay: number, kept = false, version = 1): DomainEvent =>
  event("SuperClientCleared", { client: clientRef(client), slot: 0, image: imageRef(n), version, overlay, kept })

export const committed = (
  client: number,
  n: number,
  version: number,
  sealedOverlay: number,
  { parent = version - 1, from = parent }: { readonly parent?: number; readonly from?: number } = {},
): DomainEvent => {
  const who = { client: clientRef(client), slot: 0, sealedOverlay }
  return event("ImageCommitted", { image: imageRef(n), version, parent, from, ...layerOf(n, version), ...who })
}

export const rolledBack = (n: number, from: number, to: number): DomainEvent =>
  event("ImageRolledBack", { image: imageRef(n), from, to })

export const retired = (n: number, version: number): DomainEvent =>
  event("ImageVersionRetired", { image: imageRef(n), version, sidecar: null })

/** What version `version` of the image is read from once it was flattened. */
const flatOf = (n: number, version: number, over: number | null) => {
  const file = (name: string) => ({
    path: `layers/${imageId(n)}/${name}`,
    sizeBytes: "262144",
    identity: { mtime: "3" },
  })
  const place = (name: string) => ({ storage: { kind: "layer", config: { file: name } }, files: [file(name)] })
  return {
    ...{ over, format: "qcow2", layer: { dataBytes: "131072", zeroBytes: "0" } },
    ...place(`v${version}-over-${over}`),
    changes: place(`v${version}-changes`),
  }
}

/** `from`: what it was read over, as it was committed. */
export const flattened = (n: number, version: number, over: number | null, from = version - 1): DomainEvent => {
  const { layer: _, sizeBytes: __, ...read } = layerOf(n, version)
  const made = { ...flatOf(n, version, over), from: { over: from, ...read } }
  return event("ImageVersionFlattened", { image: imageRef(n), version, ...made })
}

export const created = (n: number, name = "win11", sizeBytes = "1048576"): DomainEvent =>
  event("ImageCreated", { image: imageRef(n, name), sizeBytes, storage: disk(name).storage })

export const sealed = (n: number, name = "win11"): DomainEvent =>
  event("ImageSealed", { image: imageRef(n, name), version: 1, ...disk(name) })

export const nextBoot = (n: number, from: NextBoot | null, to: NextBoot | null): DomainEvent =>
  event("ClientNextBootSet", { client: clientRef(n), from, to })

export const boot = (n: number, more: Partial<EventData<"ClientBooted">> = {}): EventData<"ClientBooted"> => ({
  client: clientRef(n),
  slot: 0,
  boot: null,
  image: imageRef(1),
  version: 1,
  overlay: "discard",
  generation: 3,
  protocol: "nbd",
  address: "10.0.0.1",
  firmware: null,
  stages: [],
  nextBoot: false,
  ...more,
})

// Commands ----------------------------------------------------------------------------------------------------------

export const setSuper = (
  client: string,
  image = "win11",
  more: Partial<Body<"SetSuperClient">> = {},
): Body<"SetSuperClient"> => ({ type: "SetSuperClient", client, image, ...more })

export const clearSuper = (client: string, more: Partial<Body<"ClearSuperClient">> = {}): Body<"ClearSuperClient"> => ({
  type: "ClearSuperClient",
  client,
  ...more,
})

export const commit = (n: number, version: number, sealedOverlay: number): Body<"CommitImage"> => ({
  type: "CommitImage",
  imageId: imageId(n),
  version,
  sealedOverlay,
  ...layerOf(n, version),
})

export const flatten = (
  n: number,
  version: number,
  over: number | null,
  from: Body<"FlattenVersion">["from"] = { over: version - 1, storage: layerOf(n, version).storage },
): Body<"FlattenVersion"> => ({
  type: "FlattenVersion",
  imageId: imageId(n),
  version,
  ...flatOf(n, version, over),
  from,
})

export const createImage = (n: number, name = "win11", sizeBytes = "1048576"): Body<"CreateImage"> => ({
  type: "CreateImage",
  imageId: imageId(n),
  name,
  sizeBytes,
  storage: disk(name).storage,
})

export const sealImage = (n: number, name = "win11"): Body<"SealImage"> => ({
  type: "SealImage",
  imageId: imageId(n),
  ...disk(name),
})
