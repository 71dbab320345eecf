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
  /** Options one client may send; `qemu-nbd --list` asks three for each export. */
  nbdOptionsMax: 16_384,
  /** Replies of a connection are gathered here and leave in one write; holds any synchronous read with its header. */
  nbdSlabBytes: 320 * KiB,
  /** Slabs a server keeps ready for all its connections. */
  nbdSlabsKeptMax: 32,
  /** With this much waiting for the peer, no more of its requests are taken. */
  nbdOutputPauseBytes: 1 * MiB,
  /** A disk that was taken away answers ESHUTDOWN for this long before its connections close. */
  nbdRefusalMillis: 200,
  /** Time that closing waits for requests in flight and for the peer to take its replies. */
  nbdCloseSecondsMax: 5,
  nbdKeepAliveSeconds: 30,

  // TFTP
  /** RFC 2347: "The maximum size of a request packet is 512 octets." */
  tftpRequestBytesMax: 512,
  /** RFC 2348: what an option may say at most. */
  tftpBlksizeMax: 65_464,
  tftpWindowBlocksMax: 64,
  /** All blocks of a window together, unless it is one block; fits the usual receive buffer of a socket. */
  tftpWindowBytesMax: 128 * KiB,
  /** Read at once where blocks are small. */
  tftpReadBytes: 64 * KiB,
  tftpTransfersMax: 512,
  tftpTransfersPerPeerMax: 32,
  /** Doubled with each retry, up to the next. */
  tftpTimeoutMillis: 1000,
  tftpTimeoutMillisMax: 8000,
  tftpRetriesMax: 5,
  /** A transfer with a long timeout of its own ends after this time without an answer, once it was asked again. */
  tftpSilenceMillisMax: 60_000,
  /** Of a name or message that a client sent, in the server's log. */
  tftpShownCharsMax: 128,

  // Parts of one request
  /** Pieces of one request that are read from below at the same time. */
  requestPiecesMax: 16,
  /** Step of everything that reads a whole volume: checksums, opening an overlay's map. */
  scanBytes: 1 * MiB,

  // Memory
  cacheBytesMin: 16 * MiB,
  cacheBytesDefault: 256 * MiB,
  /** For images placed in RAM, where the host cannot tell how much memory is available. */
  ramBytesDefault: 256 * MiB,
  /** Memory for images is taken in these steps. */
  ramChunkBytes: 1 * MiB,
  /** Clusters that are read at the same time while an image is brought into RAM. */
  ramFillAtOnceMax: 4,
  /** Clusters after which a long walk over an image lets others have their turn. */
  ramFillTurnClusters: 16,
  ramPlanTurnClusters: 16_384,
  /** Pages of all overlay maps together. */
  overlayMapBytesMax: 512 * MiB,
  /** Maps of all committed versions together. */
  layerMapBytesMax: 512 * MiB,
  /** Layers that a version is read over before a server merges them, unless it is told otherwise. */
  mergeLayersAfterDefault: 8,
  /** What a server reads and writes for that. */
  mergeBytesPerSecond: 64 * MiB,
  /** Of the room that is left on the disk, what merging may take unasked. */
  mergeSpaceShareMax: 0.5,
  /** Shorter pauses are put together. */
  mergePauseMillisMin: 20,
  /** How often it looks for layers to merge. */
  mergeLookMillis: 10_000,
  /** Number of a layer in a map; twice it and one more fits 16 bits. */
  layerNumberMax: 32_767,

  // Log
  eventBytesMax: 65_535,
  commandEventsMax: 20_000,
  commandConflictRetriesMax: 8,
  /** Clients that one command may name, ranges spelled out. */
  commandClientsMax: 10_000,
  /** A name, address or reference in a command. What is too long for an event is refused there. */
  commandTextCharsMax: 1024,
  /** Nesting of arrays and objects in a command. */
  commandDepthMax: 16,
  /** Bad clusters that one ImageChecked lists. */
  checkClustersListedMax: 64,
  /** Runs that one comparison of two versions lists; all are counted. */
  diffRunsMax: 10_000,
  /** Equal parts of the disk for which it counts what differs. */
  diffParts: 64,
  pageEventsMax: 1000,
  /** Boots that one command records. */
  bootsRecordedMax: 1000,
  /** Boots wait this long, so that others share their command. */
  bootsRecordMillis: 200,
  /** Boots that wait while the log takes none. */
  bootsWaitingMax: 20_000,
  /** Boots of one client that are shown without reading the log. */
  bootsShownMax: 10,
  /** A projection's checkpoint is saved when this many events were folded since the last one. */
  checkpointEventsMin: 200,
  /** Least distance of the state checkpoints along the log, which bounds what a look back folds. */
  markEventsMin: 25_000,
  /** State checkpoints along the log, for one projection; with more, their distance doubles. */
  marksMax: 64,
  /** A packed checkpoint that would unpack to more is damaged. */
  checkpointBytesMax: 512 * MiB,
  siteNameBytesMax: 64,
  /** Changes that `client show` lists. */
  lastChangesMax: 5,
  /** How often a server looks whether there is something to publish: a checkpoint follows an append within a second. */
  checkpointLookMillis: 400,

  // Names and lists
  clientNameCharsMax: 63,
  imageNameCharsMax: 64,
  /** Boot options of one client or group. */
  optionsMax: 16,
  optionKeyCharsMax: 32,
  optionValueCharsMax: 256,
  /** Clients that one GroupChanged lets join or leave; more take several. */
  groupEventClientsMax: 150,
  csvBytesMax: 16 * MiB,
  csvRowsMax: 10_000,
  csvErrorsShownMax: 100,

  // Command line and control socket
  controlRequestBytesMax: 32 * MiB,
  /** A server that does not say within this time that it is there counts as not reachable. */
  controlAnswerSecondsMax: 5,
  /** How often a follower of the log looks for new events while no server runs. */
  followPollMillis: 500,
  /** A path in sockaddr_un.sun_path, with its closing NUL (unix(7)). */
  unixSocketPathBytesMax: 107,

  /** Bad clusters of one opened version that the server's log names. */
  damageReportsMax: 1000,

  // Jobs
  jobsKeptMax: 100,
  progressReportsPerSecondMax: 10,

  // Plugins
  formatProbeBytes: 4 * KiB,
  /** A fixed VHD is told from a raw disk only by its footer, the last 512 bytes. */
  formatProbeTailBytes: 512,
  /** Files that one image is read from besides its own: fifty layers, each of two files, and what they stand on. */
  formatSiblingsMax: 128,
  siblingNameCharsMax: 1024,
  /** Pages of one opened image's tables, those of every file it depends on included. */
  formatTableBytesMax: 32 * MiB,
  formatTablePageBytes: 64 * KiB,
  /** Of tables that are short and scattered over the file. */
  formatTableSmallPageBytes: 4 * KiB,
  /** Tables of an image that are judged whole when it is opened; of larger ones, each entry when it is used. */
  formatTableJudgedBytesMax: 16 * MiB,
  /** Runs that one question for extents looks up. */
  formatExtentLookupsMax: 1024,
  /** A log that is replayed in memory; 1 MiB is usual. */
  vhdxLogBytesMax: 8 * MiB,
  vhdxLogChangesMax: 16_384,
  vmdkDescriptorBytesMax: 64 * KiB,
  vmdkGrainBytesMax: 64 * MiB,
  /** A compressed grain is unpacked whole. */
  vmdkPackedGrainBytesMax: 2 * MiB,
  /** Of one grain table; 512 are usual. */
  vmdkTableEntriesMax: 4096,
  pluginKindCharsMax: 32,
  identityKeysMax: 16,
  identityCharsMax: 256,

  // The qcow2 format
  /** Clusters of 512 bytes to 2 MiB, as qemu has them. */
  qcow2ClusterBitsMin: 9,
  qcow2ClusterBitsMax: 21,
  /** The header with all its extensions. */
  qcow2HeaderBytesMax: 64 * KiB,
  qcow2BackingNameBytesMax: 1023,
  /** As qemu limits it; held in memory, but only as far as the disk's size needs it. */
  qcow2L1BytesMax: 32 * MiB,
  /** L2 tables are read and kept in parts of at most this size. */
  qcow2SliceBytesMax: 64 * KiB,
  /** Parts of L2 tables kept for one file. */
  qcow2SlicesBytesMax: 8 * MiB,
  /** Decompressed clusters kept for one file. */
  qcow2UnpackedBytesMax: 8 * MiB,
  /** Window of a zstd frame, as a power of two: its memory while one cluster is unpacked. */
  qcow2ZstdWindowLogMax: 23,
  /** Frames that one cluster may be compressed as; qemu writes one. */
  qcow2ZstdFramesMax: 16,
  /** Runs that one question for extents looks at; the answer then ends early. */
  qcow2ExtentRunsMax: 65_536,
} as const

const must = (holds: boolean, why: string) => {
  if (!holds) throw new Error(`limits.ts contradicts itself: ${why}`)
}
must(limits.clusterBytes % limits.grainBytes === 0, "a cluster is whole grains")
must(limits.grainBytes % limits.physicalBlockBytes === 0, "a grain is whole physical blocks")
must(limits.physicalBlockBytes % limits.logicalBlockBytes === 0, "a physical block is whole logical blocks")
must(limits.syncIoBytesMax <= limits.ioBytesMax, "a synchronous request is a request")
must(limits.vmdkPackedGrainBytesMax * 8 <= limits.formatTableBytesMax, "some unpacked grains fit beside the tables")
must(limits.formatTablePageBytes * 16 <= limits.formatTableBytesMax, "a chain's lookup fits the budget of its pages")
must(limits.ramChunkBytes % limits.clusterBytes === 0, "memory for images is whole clusters")
must(limits.scanBytes % limits.clusterBytes === 0, "a scan step is whole clusters")
must(limits.ioBytesMax <= limits.nbdInFlightBytesMax, "one request of the largest size fits the in-flight budget")
must(limits.ioBytesMax <= limits.nbdOutputBytesMax, "one reply of the largest size fits the output budget")
must(limits.syncIoBytesMax + 64 <= limits.nbdSlabBytes, "a synchronous read and its header fit a slab")
must(limits.nbdOutputPauseBytes + limits.ioBytesMax <= limits.nbdOutputBytesMax, "a pause leaves room for one reply")
must(limits.tftpTransfersPerPeerMax <= limits.tftpTransfersMax, "one peer has no more transfers than all")
must(limits.tftpTimeoutMillis <= limits.tftpTimeoutMillisMax, "patience grows")
must(Number.isSafeInteger(limits.imageBytesMax), "offsets are exact numbers")
must(limits.csvRowsMax * 2 <= limits.commandEventsMax, "an import registers and links every row in one command")
must(limits.bootsRecordedMax <= limits.commandEventsMax, "every boot recorded is an event")
must(limits.commandClientsMax <= limits.commandEventsMax, "a command may link every client it may name")
const optionsBytesMax = limits.optionsMax * (limits.optionKeyCharsMax + 3 * limits.optionValueCharsMax + 6)
must(
  // before and after: options and a link in every slot; then the clients, and the envelope
  2 * (optionsBytesMax + (limits.slotMax + 1) * 256) + limits.groupEventClientsMax * 160 + 1024 <= limits.eventBytesMax,
  "a group's largest change fits an event",
)
must(limits.markEventsMin % limits.pageEventsMax === 0, "a fold reaches a mark at the end of a page")
must(2 ** limits.qcow2ClusterBitsMax <= limits.qcow2UnpackedBytesMax, "a cluster of the largest size can be kept")
must(limits.qcow2SliceBytesMax <= limits.qcow2SlicesBytesMax, "a part of an L2 table can be kept")
must(2 * limits.layerNumberMax + 1 <= 0xffff, "a layer and whether it zeroed fit one entry of a map")
