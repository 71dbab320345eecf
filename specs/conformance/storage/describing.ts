/** Checks of what a volume says about its bytes: identity and extents. */
import assert from "node:assert/strict"
import { extentFault, identityFault } from "../../../core/storage/judge.ts"
import type { Volume } from "../../../core/storage/volume.ts"
import { boundaryRanges } from "../support/bytes.ts"
import { type StorageCheck, withSample } from "./subject.ts"

const HOLE = 65_536
const NO_IDENTITY = "the volume has no identity"
const NO_EXTENTS = "the volume has no extents"

export const describingChecks: ReadonlyArray<StorageCheck> = [
  {
    name: "has an identity of a few short strings, which reading does not change",
    run: (subject) =>
      withSample(subject, async ({ volume, bytes }) => {
        if (volume.identity === undefined) return NO_IDENTITY
        const first = await volume.identity()
        assert.equal(identityFault(first), undefined)
        await volume.read(new Uint8Array(bytes.length), 0, 0, bytes.length)
        assert.deepEqual(await volume.identity(), first)
        return undefined
      }),
  },
  {
    name: "has the same identity in every opening",
    skip: ({ plugin }) => (plugin.manifest.shared ? undefined : "the manifest says shared: false"),
    run: (subject) =>
      withSample(subject, async ({ volume, again }) => {
        if (volume.identity === undefined) return NO_IDENTITY
        const other = await again()
        assert.deepEqual(await other.identity?.(), await volume.identity())
        return undefined
      }),
  },
  {
    name: "describes any range in adjoining extents from its start on, at most as many as asked for",
    run: (subject) =>
      withSample(subject, async ({ volume, bytes }) => {
        if (volume.extents === undefined) return NO_EXTENTS
        for (const [offset, length] of [[0, bytes.length] as const, ...boundaryRanges(bytes.length)])
          for (const max of [1, 2, 1000]) {
            const fault = extentFault(await volume.extents(offset, length, max), offset, length, max)
            assert.ok(fault === undefined, `extents(${offset}, ${length}, ${max}): ${fault}`)
          }
        return undefined
      }),
  },
  {
    name: "says zero or absent only where every byte is zero",
    run: (subject) =>
      withSample(subject, async ({ volume, bytes }) => {
        if (volume.extents === undefined) return NO_EXTENTS
        for (const { offset, length, kind } of await allExtents(volume))
          if (kind !== "data") {
            const at = bytes.subarray(offset, offset + length).findIndex((byte) => byte !== 0)
            assert.equal(at, -1, `byte ${offset + at} is ${bytes[offset + at]}, inside an extent that is ${kind}`)
          }
        return undefined
      }),
  },
  {
    name: "tells its sample's hole from data",
    skip: ({ plugin }) => (plugin.manifest.sparse ? undefined : "the manifest says sparse: false"),
    run: (subject) =>
      withSample(subject, async ({ volume, bytes }) => {
        assert.ok(volume.extents !== undefined, "the manifest says sparse: true, but there is no extents")
        assert.ok(hasHole(bytes), "the subject's sample has no aligned hole of 64 KiB")
        assert.ok(
          (await allExtents(volume)).some((extent) => extent.kind !== "data"),
          "everything is said to be data",
        )
      }),
  },
]

/** All extents, asked for two at a time so that continuing is part of the check. */
const allExtents = async (volume: Volume) => {
  const all = []
  for (let at = 0; at < volume.sizeBytes; ) {
    const some = (await volume.extents?.(at, volume.sizeBytes - at, 2)) ?? []
    assert.equal(extentFault(some, at, volume.sizeBytes - at, 2), undefined)
    all.push(...some)
    const last = some.at(-1)!
    at = last.offset + last.length
  }
  return all
}

const hasHole = (bytes: Uint8Array): boolean => {
  for (let at = 0; at + HOLE <= bytes.length; at += HOLE)
    if (bytes.subarray(at, at + HOLE).every((byte) => byte === 0)) return true
  return false
}
