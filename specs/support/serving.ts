/** A serving site in this process, without listeners: its operations, and the disks themselves. */
import { join } from "node:path"
import { type OpenedSite, openParts } from "../../adapters/compose.ts"
import type { Lease, Peer } from "../../core/block/lease.ts"
import type { Host } from "../../core/host.ts"
import type { Actor } from "../../core/log/event-log.ts"
import { catalogueProjection } from "../../core/projections/catalogue.ts"
import type { Boot } from "../../core/runtime/boot-recorder.ts"
import type { Boots, StaleBoot } from "../../core/runtime/boots.ts"
import type { DiskService } from "../../core/runtime/disks.ts"
import { makeLocalSite } from "../../core/runtime/local-site.ts"
import type { OverlayReserve } from "../../core/runtime/overlay-reserve.ts"
import type { Parts } from "../../core/runtime/parts.ts"
import { makeServing, type Serving } from "../../core/runtime/serving.ts"
import type { Input, OperationName, Result, Site } from "../../core/runtime/site.ts"
import type { Twin, Twins } from "../../core/runtime/twins.ts"
import { watchNobody } from "./watch.ts"

export const operator: Actor = { kind: "cli", name: "operator" }
export const loopback: Peer = { address: "127.0.0.1", loopback: true, protocol: "nbd" }

export interface ServingSite {
  readonly site: Site
  readonly disks: DiskService
  readonly ram: Serving["ram"]
  /** Why an image that belongs in RAM is not there. */
  readonly notInRam: ReadonlyArray<string>
  readonly parts: OpenedSite["parts"]
  /** Folder of the overlays. */
  readonly overlays: string
  /** What would be recorded. */
  readonly boots: ReadonlyArray<Boot>
  readonly bootIds: Boots
  readonly stacks: Serving["stacks"]
  /** Retired boot ids that were reported. */
  readonly stale: ReadonlyArray<StaleBoot>
  readonly twins: Twins
  /** Second PCs that were reported. */
  readonly seconds: ReadonlyArray<Twin>
  do<N extends OperationName>(name: N, input: Input<N>): Promise<Result<N>>
  attach(client: string, slot?: number): Promise<Lease>
  close(): Promise<void>
}

/** Opens the store in `data`, or makes it, and serves it; `exchange` puts other parts in place of some. */
export const serveHere = async (
  data: string,
  exchange: (parts: Parts) => Partial<Parts> = () => ({}),
  ramBytes = 64 * 2 ** 20,
  cacheBytes = 16 * 2 ** 20,
  reserve?: OverlayReserve,
  hostParts: Partial<Host> = {},
): Promise<ServingSite> => {
  const {
    parts: own,
    data: folder,
    host,
    random,
    bootSecret,
    release,
  } = await openParts({ dataDir: data, create: true })
  const parts = { ...own, ...exchange(own) }
  const overlays = folder.folder("overlays")
  const boots: Array<Boot> = []
  const watch = { ...watchNobody, began: (boot: Boot) => void boots.push(boot) }
  const stale: Array<StaleBoot> = []
  const seconds: Array<Twin> = []
  const notInRam: Array<string> = []
  const onNotInRam = ({ code }: { readonly code: string }) => void notInRam.push(code)
  const serving = await makeServing(parts, {
    overlays,
    host: withParts(host, hostParts),
    cacheBytes,
    ramBytes,
    onDamage: () => {},
    onNotInRam,
    watch,
    random,
    bootSecret: await bootSecret(),
    ...(reserve === undefined ? {} : { reserve }),
    onStaleBoot: (s) => void stale.push(s),
    onTwin: (twin) => void seconds.push(twin),
  })
  const site = makeLocalSite({ ...parts, serving }, async () => {})
  await serving.disks.sweep()
  await parts.layers.sweep(await parts.views.state(catalogueProjection))
  return {
    site,
    disks: serving.disks,
    ram: serving.ram,
    notInRam,
    parts,
    boots,
    bootIds: serving.boots,
    stacks: serving.stacks,
    stale,
    twins: serving.twins,
    seconds,
    overlays: join(data, "overlays"),
    do: (name, input) => site.call(name, input, { actor: operator }),
    attach: (client, slot = 0) => serving.disks.attach(client, slot, undefined, loopback),
    async close() {
      await serving.disks.close()
      await site.close()
      await release()
    },
  }
}

/** A host looks its methods up when they are asked for, so it is not copied. */
const withParts = (host: Host, parts: Partial<Host>): Host =>
  new Proxy(host, { get: (own, key) => (key in parts ? parts[key as keyof Host] : Reflect.get(own, key, own)) })

export const readAll = async ({ device }: Lease): Promise<Buffer> => {
  const bytes = Buffer.alloc(device.sizeBytes)
  if (!device.readSync(bytes, 0, 0, bytes.length)) await device.read(bytes, 0, 0, bytes.length)
  return bytes
}

export const zero = async ({ device }: Lease, offset: number, length: number): Promise<void> => {
  if (!device.zeroSync(offset, length, 0)) await device.zero(offset, length, 0)
}

export const write = async ({ device }: Lease, offset: number, bytes: Buffer): Promise<void> => {
  if (!device.writeSync(bytes, 0, offset, bytes.length, 0)) await device.write(bytes, 0, offset, bytes.length, 0)
}
