/**
 * Every limit of Imagelink in one place, each named with its unit.
 *
 * Limits that lean on each other are asserted together at the end, so a change that breaks a relation stops the program
 * at start instead of corrupting something later.
 */

const KiB = 1024
const MiB = 1024 * KiB
const GiB = 1024 * MiB
const TiB = 1024 * GiB

export const limits = {
  // Disks
  logicalBlockBytes: 512,
  physicalBlockBytes: 4 * KiB,
  /** Unit of allocation in an overlay. */
  grainBytes: 4 * KiB,
  /** Unit of the read cache and of one checksum. */
  clusterBytes: 64 * KiB,
  imageBytesMax: 64 * TiB,
  slotMax: 15,

  // Block protocols
  ioBytesMax: 32 * MiB,
  /** A write or read at most this long may use the synchronous path, so that one request never holds the loop for long. */
  syncIoBytesMax: 256 * KiB,
  nbdNameBytesMax: 4096,
  nbdOptionBytesMax: 64 * KiB,
  nbdHandshakeSecondsMax: 30,
  nbdConnectionsMax: 4096,
  nbdInFlightRequestsMax: 1024,
  nbdInFlightBytesMax: 64 * MiB,
  nbdOutputBytesMax: 64 * MiB,
  nbdExtentsMax: 8192,

  // Memory
  cacheBytesMin: 16 * MiB,
  cacheBytesDefault: 256 * MiB,
  /** Pages of all overlay maps together. */
  overlayMapBytesMax: 512 * MiB,

  // Log
  eventBytesMax: 65_535,
  commandEventsMax: 20_000,
  commandConflictRetriesMax: 8,
  pageEventsMax: 1000,
  siteNameBytesMax: 64,

  // Names and lists
  clientNameCharsMax: 63,
  imageNameCharsMax: 64,
  csvBytesMax: 16 * MiB,
  csvRowsMax: 10_000,
  csvErrorsShownMax: 100,

  // Command line and control socket
  controlRequestBytesMax: 32 * MiB,
  /** A path in sockaddr_un.sun_path, with its closing NUL (unix(7)). */
  unixSocketPathBytesMax: 107,

  // Plugins
  formatProbeBytes: 4 * KiB,
  formatSiblingsMax: 64,
} as const

const must = (holds: boolean, why: string) => {
  if (!holds) throw new Error(`limits.ts contradicts itself: ${why}`)
}
must(limits.clusterBytes % limits.grainBytes === 0, "a cluster is whole grains")
must(limits.grainBytes % limits.physicalBlockBytes === 0, "a grain is whole physical blocks")
must(limits.physicalBlockBytes % limits.logicalBlockBytes === 0, "a physical block is whole logical blocks")
must(limits.syncIoBytesMax <= limits.ioBytesMax, "a synchronous request is a request")
must(limits.ioBytesMax <= limits.nbdInFlightBytesMax, "one request of the largest size fits the in-flight budget")
must(limits.ioBytesMax <= limits.nbdOutputBytesMax, "one reply of the largest size fits the output budget")
must(Number.isSafeInteger(limits.imageBytesMax), "offsets are exact numbers")
must(limits.csvRowsMax * 2 <= limits.commandEventsMax, "an import registers and links every row in one command")
