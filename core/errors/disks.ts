/** Overlays, and what a block request may meet. */
import { at, entry, type Range } from "./entry.ts"

export const diskErrors = {
  // --- Overlays ---
  OVERLAY_KEPT: entry<{ client: string; slot: number; image: string; version: number }>({
    exit: 1,
    message: (p) => `${p.client} slot ${p.slot} keeps its writes over ${p.image}@${p.version}`,
    cause: () =>
      "an overlay opens over no other version than the one it was made on, so without this link it would be stranded",
    fix: () => "to throw the kept writes away, say --discard-kept; to keep them, leave the link as it is",
  }),
  OVERLAY_IN_USE: entry<{ client: string; slot: number; sessions: number }>({
    exit: 1,
    message: (p) => `${p.client} slot ${p.slot} is in use (${p.sessions} ${p.sessions === 1 ? "session" : "sessions"})`,
    cause: () => "the client is running from this overlay; taking it away would corrupt its file system",
    fix: () =>
      "shut the client down first, and give it a minute: a PC does not say that it is off; a commit ('imagelink image commit --when-off') and a reset ('imagelink client reset --at-next-boot') can also wait",
  }),
  OVERLAY_LOST: entry<{ client: string; slot: number; why: string }>({
    exit: 1,
    message: (p) => `the overlay of ${p.client} slot ${p.slot} is lost`,
    cause: (p) => p.why,
    fix: (p) => `give the client a fresh one: imagelink client reset ${p.client} --slot ${p.slot}`,
  }),
  OVERLAY_DAMAGED: entry<{ path: string; why: string }>({
    exit: 1,
    message: (p) => `the overlay ${p.path} is damaged`,
    cause: (p) => p.why,
    fix: () =>
      "give the client a fresh one with 'imagelink client reset', or restore the overlay's folder from a backup",
  }),
  OVERLAY_BASE_MISMATCH: entry<{ path: string; wants: string; got: string }>({
    exit: 1,
    message: (p) => `the overlay ${p.path} belongs over ${p.wants}, not over ${p.got}`,
    cause: () => "overlay files were moved or copied by hand",
    fix: () =>
      "put the overlay's folder back where it was, or give the client a fresh one with 'imagelink client reset'",
  }),
  OVERLAY_RETIRED: entry<{ client: string; slot: number; began?: string }>({
    exit: 1,
    message: (p) => `the overlay that ${p.client} slot ${p.slot} was using has been retired`,
    cause: (p) =>
      p.began === undefined
        ? "the client was started anew, reset or linked elsewhere, or its writes were taken for the next version"
        : `a newer boot of ${p.client} began at ${p.began}: this is a PC that was left over from before, or two PCs have one MAC`,
    fix: () => "start the client again; if this comes back, look for a second PC with its MAC",
  }),
  BOOT_ID_INVALID: entry<{ client: string; why: string }>({
    exit: 1,
    message: (p) => `the boot id that ${p.client} showed is not valid`,
    cause: (p) => p.why,
    fix: () => "start the client over the network again, so that it fetches a boot script of this site",
  }),
  BOOT_ID_EXPIRED: entry<{ client: string; made: string; minutes: number }>({
    exit: 1,
    message: (p) => `the boot id that ${p.client} showed has expired`,
    cause: (p) => `its boot script was fetched at ${p.made}, and a boot must begin within ${p.minutes} minutes of that`,
    fix: () => "start the client again; if this comes back, set the server's clock (timedatectl)",
  }),

  LAYER_MAPS_FULL: entry<{ bytesMax: number }>({
    exit: 1,
    message: (p) => `what the layers of the open versions changed does not fit into ${p.bytesMax} bytes of memory`,
    cause: () =>
      "layers of very large disks, each with millions of small changes all over the disk, are open at the same time: each change takes some bytes",
    fix: () =>
      "merge layers, which joins their changes: 'imagelink image flatten NAME@V', the newest version that was checked; and 'imagelink image retire' versions that nobody needs",
  }),

  // --- Block requests ---
  IO_ERROR: entry<Range & { why?: string }>({
    exit: 1,
    message: (p) => `input/output error${at(p)}${p.what ? ` on ${p.what}` : ""}`,
    cause: (p) => p.why ?? "the storage below failed",
    fix: () => "look at the server's system log for the disk or network underneath",
  }),
  MEDIUM_ERROR: entry<Range>({
    exit: 1,
    message: (p) => `unreadable${at(p)}${p.what ? ` on ${p.what}` : ""}`,
    cause: () => "the bytes below do not match their recorded checksum, or could not be read",
    fix: () => "restore the image file from a backup",
  }),
  OUT_OF_RANGE: entry<Range & { sizeBytes?: number }>({
    exit: 1,
    message: (p) => `request${at(p)} is outside the disk${p.sizeBytes === undefined ? "" : ` of ${p.sizeBytes} bytes`}`,
    cause: () => "the client asked for bytes past the end, or for a length that is not allowed",
    fix: () => "check the client's partition table against the image's size",
  }),
  READ_ONLY: entry<Range>({
    exit: 1,
    message: (p) => `write${at(p)} to a read-only disk${p.what ? ` (${p.what})` : ""}`,
    cause: () => "a version of an image never changes; only a client's own disk is writable",
    fix: () => "open client/NAME/SLOT to write",
  }),
  NO_SPACE: entry<Range>({
    exit: 1,
    message: (p) => `no space for the write${at(p)}${p.what ? ` on ${p.what}` : ""}`,
    cause: () =>
      "the server's disk, or the overlay's quota, is full; what is left of the disk may be reserved for super clients",
    fix: () => "free space on the server's data folder, or reset clients that no longer need their overlay",
  }),
  NOT_SUPPORTED: entry<Range>({
    exit: 1,
    message: (p) => `not supported${at(p)}${p.what ? `: ${p.what}` : ""}`,
    cause: () => "the storage below cannot do this, or not fast",
    fix: () => "nothing: a client falls back by itself",
  }),
  CANCELLED: entry<{ what: string }>({
    exit: 1,
    message: (p) => `${p.what} was cancelled`,
    cause: () => "someone asked it to stop, or the connection closed",
    fix: () => "start it again when ready",
  }),
  CLOSED: entry<{ what: string }>({
    exit: 1,
    message: (p) => `${p.what} is closed`,
    cause: () => "the server is stopping, or the disk was detached",
    fix: () => "connect again",
  }),
  EXPORT_NOT_FOUND: entry<{ name: string }>({
    exit: 1,
    message: (p) => (p.name === "" ? "there is no default export" : `there is no export ${JSON.stringify(p.name)}`),
    cause: () => "exports are named client/NAME/SLOT and image/NAME or image/NAME@VERSION",
    fix: () => "list what is served: nbdinfo --list nbd://SERVER",
  }),
  EXPORT_DENIED: entry<{ name: string; peer: string }>({
    exit: 1,
    message: (p) => `${p.peer} may not open the export ${JSON.stringify(p.name)}`,
    cause: () => "a client opens its own disks, from the address in the link table; loopback opens everything",
    fix: () => "connect from the client's own address, or correct that address in the link table",
  }),
} as const
