import { blockDeviceConformance } from "imagelink/conformance/block-device"
import { describe, it } from "vitest"
import { swappable } from "../../core/block/box.ts"
import { ReadCache } from "../../core/block/cache.ts"
import { openDraft } from "../../core/block/draft.ts"
import { guardDevice } from "../../core/block/guard.ts"
import { MapBudget } from "../../core/block/overlay/budget.ts"
import type { GenerationPolicy } from "../../core/block/overlay/header.ts"
import { createOverlay } from "../../core/block/overlay/open.ts"
import { openVersion } from "../../core/block/version.ts"
import { layeredDisk } from "../support/layers.ts"
import { type Behaviour, MemoryFolder, MemoryVolume } from "../support/memory-volume.ts"
import { patterned } from "../support/random.ts"

const SIZE = 1024 * 1024 + 512
const reference = () => patterned(SIZE, 77)
const slow: Behaviour = { misses: () => true, waits: () => Promise.resolve() }

const version = (bytes: Buffer, clusters: number, behaviour: Behaviour) =>
  openVersion({
    id: "image@1",
    contentId: "image@1",
    cache: new ReadCache({ bytes: clusters * 65_536 }),
    below: MemoryVolume.of(bytes, behaviour),
    sizeBytes: SIZE,
  })

/** Two layers over zeros make the same bytes: their runs take turns, and a cluster has all three. */
const layered = (bytes: Buffer, behaviour: Behaviour) => {
  const disk = layeredDisk(Buffer.alloc(SIZE), behaviour)
  const runs = (first: number) =>
    Array.from({ length: Math.ceil(SIZE / 4096 / 2) }, (_, i) => (2 * i + first) * 4096)
      .filter((offset) => offset < SIZE)
      .map((offset) => ({ offset, length: Math.min(4096, SIZE - offset), kind: "data" as const }))
  const fill = ({ offset, length }: { offset: number; length: number }) => bytes.subarray(offset, offset + length)
  disk.commit(0, 1, runs(0), fill)
  disk.commit(1, 2, runs(1), fill)
  return disk.open(2, new ReadCache({ bytes: 3 * 65_536 }))
}

const overlay = (policy: GenerationPolicy, behaviour: Behaviour) => async () => {
  const bytes = reference()
  const base = version(bytes, 2, behaviour)
  const made = await createOverlay({
    folder: new MemoryFolder("memory", () => behaviour),
    base: swappable(base),
    binding: { generation: "g", clientId: "c", slot: 0, imageId: "i", version: 1, policy },
    client: "PC-001",
    hostBootId: "boot",
    budget: new MapBudget(4096),
  })
  return { device: guardDevice(made), reference: bytes, dispose: () => made.close() }
}

const draft = (behaviour: Behaviour) => async () => {
  const bytes = reference()
  const device = guardDevice(openDraft("draft", MemoryVolume.of(bytes, behaviour)))
  return { device, reference: bytes, dispose: () => device.close() }
}

const readable = { byteGranular: true, writable: false, durable: false, trim: false, fastZero: false }
const writable = { byteGranular: true, writable: true, durable: true, trim: true, fastZero: true }

for (const [how, behaviour] of [
  ["quick", {}],
  ["slow", slow],
] as const) {
  blockDeviceConformance(
    { describe, it },
    {
      name: `a version over a ${how} volume`,
      features: readable,
      make: async () => {
        const bytes = reference()
        const device = guardDevice(version(bytes, 3, behaviour))
        return { device, reference: bytes, dispose: () => device.close() }
      },
    },
  )
  blockDeviceConformance(
    { describe, it },
    {
      name: `a version of layers over ${how} volumes`,
      features: readable,
      make: async () => {
        const bytes = reference()
        const device = guardDevice(layered(bytes, behaviour))
        return { device, reference: bytes, dispose: () => device.close() }
      },
    },
  )
  blockDeviceConformance(
    { describe, it },
    { name: `a keep overlay over ${how} volumes`, features: writable, make: overlay("keep", behaviour) },
  )
  blockDeviceConformance(
    { describe, it },
    {
      name: `a discard overlay over ${how} volumes`,
      features: { ...writable, durable: false },
      make: overlay("discard", behaviour),
    },
  )
  blockDeviceConformance(
    { describe, it },
    {
      name: `a draft over a ${how} volume`,
      features: { ...writable, fastZero: false },
      make: draft(behaviour),
    },
  )
}
