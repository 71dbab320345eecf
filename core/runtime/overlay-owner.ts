/**
 * The one owner of a client's overlay generation: all sessions of the client meet here.
 *
 * **Details** An owner is opened for the first session and closed after the last has left. A retired owner tells its sessions, and
 * answers OVERLAY_RETIRED to every further request.
 */
import assert from "node:assert"
import { guardDevice } from "../block/guard.ts"
import type { BaseReads } from "../block/heat/tap.ts"
import type { Ending, Lease } from "../block/lease.ts"
import type { Overlay } from "../block/overlay/overlay.ts"
import { limits } from "../limits.ts"

/** An overlay that is open: what it stands on, and what was written to it. */
export interface OverlayUse {
  readonly clientId: string
  readonly slot: number
  readonly imageId: string
  readonly version: number
  readonly bytes: number
  /** Of what was read below it since it was opened: how much was answered from memory at once. */
  readonly hitBytes: number
  readonly missBytes: number
}

export interface OverlayOwner {
  readonly use: () => OverlayUse
  readonly sessions: () => number
  /** Set once the last session has left or it was retired: what to wait for before the overlay may be opened again. */
  readonly ending: () => Promise<void> | undefined
  /** `firstRead` is called at the session's first read. */
  lease(firstRead?: () => void): Lease
  retire(): Promise<void>
}

export interface OwnerOptions {
  readonly overlay: Overlay
  readonly description: string
  /** What went through to the version below. */
  readonly below: BaseReads
  readonly onClosed: () => Promise<void>
}

export const makeOwner = ({ overlay, description, below, onClosed }: OwnerOptions): OverlayOwner => {
  const listeners = new Set<(ending: Ending) => void>()
  let sessions = 0
  let ending: Promise<void> | undefined
  const end = () => (ending ??= overlay.close().finally(onClosed))

  return {
    use: () => {
      const { clientId, slot, imageId, version } = overlay.header
      const { hitBytes, missBytes } = below
      return {
        clientId,
        slot,
        imageId,
        version,
        bytes: overlay.stats.dataGrains * limits.grainBytes,
        hitBytes,
        missBytes,
      }
    },
    sessions: () => sessions,
    ending: () => ending,
    lease(firstRead) {
      assert(ending === undefined, "a lease of an owner that is going away")
      sessions++
      let released = false
      return {
        device: guardDevice(overlay, firstRead),
        description,
        identity: `${overlay.header.clientId}/${overlay.header.slot}`,
        onRevoked(listener) {
          listeners.add(listener)
          return () => void listeners.delete(listener)
        },
        async release() {
          if (released) return
          released = true
          sessions--
          if (sessions === 0) await end()
        },
      }
    },
    async retire() {
      overlay.retire()
      for (const listener of [...listeners]) listener("revoked")
      await end()
    },
  }
}
