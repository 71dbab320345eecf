/**
 * A counted lease on a disk: what a protocol adapter gets when a peer opens one, and gives back when it leaves.
 *
 * **Details** All sessions of one client's slot share one owner of its overlay; each session has its own lease. `attach` may be
 * called any number of times for the same disk. When the disk is taken away (reset, retired boot, server stop) every lease is told
 * through `onRevoked`, and its device answers OVERLAY_RETIRED or CLOSED from then on. One that an operator disconnects is told likewise, and its device
 * answers until the session has ended.
 */
import type { BlockDevice } from "./device.ts"

export interface Peer {
  /** Textual IP address, without port; "unix" for a local socket. */
  readonly address: string
  readonly loopback: boolean
  /** How it came; for the record of its boot. */
  readonly protocol: "nbd" | "iscsi"
  /** What it calls itself, where its protocol has a name for that; nothing is admitted by it. */
  readonly initiator?: string
}

/** Why a session is to end. Disconnected: the disk is as it was, and the client may open it again. */
export type Ending = "revoked" | "disconnected"

export const endingText = (ending: Ending): string =>
  ending === "revoked" ? "the disk was taken away" : "an operator disconnected the client"

/** A disk somebody may open, as the block protocols list it. */
export interface DiskName {
  /** `client/PC-001/0` or `image/win11@3`. */
  readonly name: string
  readonly description: string
}

/** Settles with true when a peer has shown that it runs now, by what nobody could send who was reset before; false when its session or the signal has ended. */
export type SignOfLife = (signal: AbortSignal) => Promise<boolean>

export interface Lease {
  readonly device: BlockDevice
  /** For the log line and the protocol's description field: `PC-001 slot 0 over win11@1`. */
  readonly description: string
  /** `<client id>/<slot>`: what a disk's serial number is made of. It stays through resets, new versions and new names. */
  readonly identity?: string
  onRevoked(listener: (ending: Ending) => void): () => void
  /** How to ask its peer for a sign of life, until it is released. Left out where nobody asks; a protocol that cannot ask says nothing. */
  onAsked?(ask: SignOfLife): void
  release(): Promise<void>
}

/** Where protocol adapters get disks. Implemented by core/runtime/disks.ts; the adapters see nothing else of the control plane. */
export interface Disks {
  /** A client's own writable disk. `boot` is the boot id the peer showed, if its protocol carries one; the first with a new one begins a boot.
   * @throws CLIENT_NOT_FOUND LINK_NOT_FOUND EXPORT_DENIED BOOT_ID_INVALID BOOT_ID_EXPIRED CLIENT_TWICE OVERLAY_LOST OVERLAY_DAMAGED OVERLAY_RETIRED IMAGE_FILE_NOT_FOUND IMAGE_ACCESS_DENIED IMAGE_CHANGED */
  attach(client: string, slot: number, boot: string | undefined, peer: Peer): Promise<Lease>
  /** A version of an image, read-only; without `version`, the current one.
   * @throws IMAGE_NOT_FOUND IMAGE_VERSION_NOT_FOUND EXPORT_DENIED IMAGE_FILE_NOT_FOUND IMAGE_ACCESS_DENIED IMAGE_CHANGED */
  attachImage(image: string, version: number | undefined, peer: Peer): Promise<Lease>
  /** What this peer may open, clients first, each group by name. */
  list(peer: Peer): ReadonlyArray<DiskName>
  /** Another number whenever what `list` answers may have changed. Left out where it never does. */
  epoch?(): number
}
