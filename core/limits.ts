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
  /** Where a server's sockets put what they receive, one connection after the other. */
  nbdReceiveBytes: 512 * KiB,
  /** With this much waiting for the peer, no more of its requests are taken. */
  nbdOutputPauseBytes: 1 * MiB,
  /** A disk that was taken away answers ESHUTDOWN for this long before its connections close. */
  nbdRefusalMillis: 200,
  /** Time that closing waits for requests in flight and for the peer to take its replies. */
  nbdCloseSecondsMax: 5,
  nbdKeepAliveSeconds: 30,
  /** What a client does not acknowledge, or does not take, for so long ends its connection. */
  nbdUnansweredSecondsMax: 60,

  // iSCSI and SCSI
  /** RFC 7143 §4.2.7.1. */
  iscsiNameCharsMax: 223,
  /** MaxRecvDataSegmentLength: how long a data segment we take. */
  iscsiSegmentBytesMax: 256 * KiB,
  iscsiFirstBurstBytesMax: 256 * KiB,
  iscsiBurstBytesMax: 16 * MiB - 512,
  iscsiOutstandingR2TMax: 8,
  /** Commands of one session that may be under way: the CmdSN window. */
  iscsiWindowCommands: 128,
  /** Beyond the window: commands with the I bit. */
  iscsiImmediateCommandsMax: 8,
  /** Of one burst that comes out of order. */
  iscsiBurstPiecesMax: 4096,
  iscsiTextBytesMax: 64 * KiB,
  /** Of CHAP_C (RFC 7143 §12.1.3). */
  iscsiChallengeBytesMax: 1024,
  iscsiLoginSecondsMax: 30,
  /** PDUs of one login. */
  iscsiLoginPdusMax: 64,
  iscsiConnectionsMax: 4096,
  /** Replies of a connection are gathered here and leave in one write; holds any synchronous read with its headers and digests. */
  iscsiSlabBytes: 320 * KiB,
  iscsiSlabsKeptMax: 32,
  /** Where a server's sockets put what they receive, one connection after the other. */
  iscsiReceiveBytes: 512 * KiB,
  /** With this much waiting for the peer, no more of its requests are taken. */
  iscsiOutputPauseBytes: 1 * MiB,
  /**
   * What the system holds of a connection's replies: enough for a gigabit at 5 ms. With megabytes of them, which it takes where it is let, each byte is copied
   * into and out of memory that no processor's cache holds any more: twice the time for reads of 256 KiB at depth 32, on both sides.
   */
  iscsiSendBufferBytes: 384 * KiB,
  iscsiInFlightBytesMax: 64 * MiB,
  /** Data of writes that are still arriving, and of requests that wait for a disk, over all sessions of a server. */
  iscsiServerBytesMax: 1 * GiB,
  /** Of large PDUs that came in part, over all connections; who would need more is cut off. */
  iscsiPartialBytesMax: 1 * GiB,
  iscsiCloseSecondsMax: 5,
  iscsiKeepAliveSeconds: 15,
  /** A quiet session is asked for a sign of life after this time. */
  iscsiPingSeconds: 15,
  /** A PC whose network card has not acknowledged anything for this long is off, or out of reach: it logs in again if it is neither. */
  iscsiUnansweredSecondsMax: 20,
  /** A target whose disk could not be opened tries again no sooner than this. */
  iscsiReopenMillis: 1000,
  /** How soon a running session hears of slots that were linked or unlinked. */
  iscsiLookSeconds: 1,
  /** Refused logins from one address that are logged one by one, within a minute. */
  iscsiRefusalsShownPerMinute: 6,
  /** Those beyond it are answered so much later, which slows down who guesses or asks without end. */
  iscsiRefusalDelaySeconds: 1,
  /** MAXIMUM TRANSFER LENGTH (SBC-3 §6.6.3). */
  scsiTransferBytesMax: 32 * MiB,
  scsiWriteSameBytesMax: 1 * GiB,
  scsiUnmapDescriptorsMax: 256,
  /** MAXIMUM COMPARE AND WRITE LENGTH, in logical blocks. */
  scsiCompareBlocksMax: 255,
  /** Step of commands that read or write a long range through a buffer of their own. */
  scsiStepBytes: 1 * MiB,
  scsiStatusRunsMax: 1024,
  /** How far one GET LBA STATUS looks. */
  scsiStatusBytesMax: 4 * GiB,
  scsiAttentionsMax: 16,
  /** EXTENDED COPY: descriptors of one command, and results held for one initiator. */
  scsiCopyTargetsMax: 8,
  scsiCopySegmentsMax: 16,
  scsiCopyListBytesMax: 1024,
  scsiCopyResultsMax: 16,

  /** Asked of the kernel for a UDP socket, so that a burst waits instead of being lost. */
  datagramReceiveBytes: 4 * MiB,
  /** Taken from a socket, or sent, with one call. */
  datagramsTogether: 16,
  /** Of one socket among many that are waited for together; what is longer is cut. */
  exchangeReceiveBytes: 2048,
  /** Waiting to be sent by those sockets, and requests to the kernel at once (io_uring): a power of two. */
  exchangeSendLines: 128,
  uringEntries: 512,
  /** Taken one after the other before anybody else has a turn. */
  datagramsInARowMax: 64,
  /** By a service manager (LISTEN_FDS). */
  socketsHandedOverMax: 64,

  /** Boot files that were read and may be asked for again, and how much is read at once. */
  bootPiecesBytesMax: 32 * MiB,
  bootPieceBytes: 256 * KiB,

  // TFTP
  /** RFC 2347: "The maximum size of a request packet is 512 octets." */
  tftpRequestBytesMax: 512,
  /** RFC 2348: what an option may say at most. */
  tftpBlksizeMax: 65_464,
  tftpWindowBlocksMax: 64,
  /** All blocks of a window together, unless it is one block; fits the usual receive buffer of a socket. */
  tftpWindowBytesMax: 128 * KiB,
  /** Taken at once of what is read of a file. */
  tftpReadBytes: 64 * KiB,
  tftpTransfersMax: 512,
  /** How long the thread of transfers waits for packets at most, and for how long it takes them, until the event loop has a turn. */
  tftpWaitMillis: 5,
  tftpTurnMillis: 10,
  /** An answer that came sooner is asked for the next time, before that thread sleeps. Over a switch it takes longer than this; a PC beside the server is what it helps. */
  tftpSoonMillis: 0.06,
  /** Not where more run: there is always somebody to be answered, and whoever asks in vain keeps a client beside it from its processor. */
  tftpSoonTransfersMax: 4,
  /** Asked in vain so often in a row, the thread sleeps 2 to the power of this many times before it asks so again. */
  tftpSoonVainMax: 8,
  tftpTransfersPerPeerMax: 64,
  /** A second thread begins when so many transfers run at once. */
  tftpThreadTransfers: 8,
  /** Before a round trip was measured; doubled with each retry, up to the next. */
  tftpTimeoutMillis: 1000,
  /**
   * However fast the client was so far. Once it is asked sooner, as TCP does (RFC 8985 §7.2, a probe for what was lost at the end), and then left alone for long enough to say its
   * last word again by itself: some clients do not answer what they have already, and begin to wait anew with each packet.
   */
  tftpTimeoutMillisMin: 100,
  tftpProbeMillisMin: 20,
  tftpTimeoutMillisMax: 8000,
  tftpRetriesMax: 5,
  /** A client that was fast is given this time all the same. */
  tftpSilenceMillisMin: 30_000,
  /** A transfer with a long timeout of its own ends after this time without an answer, once it was asked again. */
  tftpSilenceMillisMax: 60_000,
  /** Of a name or message that a client sent, in the server's log. */
  tftpShownCharsMax: 128,

  /**
   * Of a socket's buffer; the kernel takes twice as much, and gives who asks as much by default. Answers to what waited behind more than that find no room where they go,
   * and were work for nothing (`npm run bench -- dhcp`).
   */
  dhcpReceiveBytes: 104 * KiB,
  /** The largest datagram without fragments on Ethernet; nothing that asks for an address is longer. */
  dhcpMessageBytesMax: 1500,
  /** What every client takes (RFC 2131 §2: 576 with the headers of IP and UDP). */
  dhcpReplyBytesDefault: 548,
  /** Addresses that a server lends to machines nobody registered. */
  dhcpPoolAddressesMax: 65_536,
  dhcpLeaseSecondsDefault: 86_400,
  /** An offer keeps its address for so long. */
  dhcpOfferSeconds: 60,
  /** An address that a client found in use stays aside for so long. */
  dhcpDeclinedSeconds: 3600,
  /** No datagram is on its way longer (RFC 793's maximum segment lifetime). */
  dhcpDatagramSecondsMax: 120,
  /** From one machine; a boot takes about ten in all. A bench of 5,000 exchanges a second by 1,000 machines has some with forty. */
  dhcpMessagesPerSecond: 64,
  /** Machines that nobody registered, which are remembered for a second each. */
  dhcpStrangersPerSecond: 2000,
  dhcpOtherServersMax: 16,
  /** That no address is left is told an operator so often. */
  dhcpSaidAgainMillis: 10_000,
  /** How often is looked whether the interface has its link and its address. */
  dhcpInterfaceLookMillis: 1000,
  /** Leases that wait for the disk. */
  dhcpLeasesWritingMax: 1000,

  // HTTP
  httpConnectionsMax: 1024,
  httpHeaderBytesMax: 8 * KiB,
  httpHeadersMax: 64,
  /** For a request's header to arrive whole. */
  httpHeaderMillisMax: 10_000,
  /** A connection on which nothing moves. */
  httpSilenceMillisMax: 30_000,
  httpKeepAliveMillis: 15_000,
  httpReadBytes: 256 * KiB,
  httpCloseMillisMax: 2000,

  // Boot scripts
  bootRetrySeconds: 10,
  /** Computers that register themselves: more than a room that is switched on together. */
  registrationsPerMinute: 240,
  /** Failures after which a client with a fallback boots from its own disk. */
  bootFailuresMax: 3,
  /** Of a model's name, as SMBIOS has it. */
  machineModelCharsMax: 64,
  bootMenuSecondsDefault: 10,
  bootMenuSecondsMax: 3600,

  // Boots on their way
  /** Clients that are followed; beyond it, those that were silent longest and use no disk are forgotten. */
  bootsFollowedMax: 20_000,
  /** The same, for computers that nobody registered. */
  bootStrangersFollowedMax: 256,
  /** A silence after which the next sign of a PC is that of another boot; DHCP's longest pause is 32 s (RFC 2131 §4.1). */
  bootSilenceSecondsMax: 60,
  /** Without the next stage for so long, a boot is shown as stuck. */
  bootStuckSeconds: 30,
  /** And after so long it is not shown any more. */
  bootForgottenSeconds: 600,
  /** From its login on, a boot waits this long for its first read to be recorded with it. */
  bootFirstReadMillisMax: 5000,
  /** Boot ids of a client that may still be shown, with what led to them. */
  bootScriptsRememberedMax: 4,
  /** How often those who follow live boots are told. */
  bootsLookMillis: 1000,

  // Doctor
  /** For one check; what takes longer has failed. */
  doctorCheckMillisMax: 30_000,
  /** How long DHCP servers are listened to: the slowest tries first whether an address is taken. */
  doctorDhcpMillis: 4500,
  /** When a DISCOVER is sent again. */
  doctorDhcpAgainMillis: 1200,
  doctorHttpMillisMax: 5000,
  doctorTftpSilenceMillis: 700,
  doctorTftpRetriesMax: 3,
  /** Of a boot program. */
  doctorTftpMillisMax: 15_000,
  doctorTftpBytesMax: 16 * MiB,
  doctorIscsiMillisMax: 5000,
  /** Of what nft or iptables-save prints. */
  doctorToolBytesMax: 8 * MiB,
  doctorToolMillisMax: 10_000,
  /** Of the log's newest tables that are read; as many as a command looks at that appends. */
  doctorLogBytesMax: 64 * MiB,
  /** Images that are opened at the same time. */
  doctorImagesAtOnceMax: 8,
  /** Files of the data folder whose owner is looked at. */
  doctorFilesMax: 4096,
  /** A certificate that ends sooner is told of. */
  doctorCertificateDays: 14,
  /** Open files of a server beside those of its clients, and those of each. */
  doctorFilesOfServer: 512,
  doctorFilesOfClient: 8,
  /** Below both of these the disk is nearly full. */
  doctorFreeBytesMin: 2 * GiB,
  doctorFreeShareMin: 0.05,

  // Parts of one request
  /** Pieces of one request that are read from below at the same time. */
  requestPiecesMax: 16,
  /** Step of everything that reads a whole volume: checksums, opening an overlay's map. */
  scanBytes: 1 * MiB,
  /** A first check that is killed reads no more than this again, or an eighth of what it had read. */
  checkPartBytes: 1 * GiB,

  /** What one read, and all of a turn of the loop, copies out of the system's page cache; more is for threads. */
  readAtOnceBytesMax: 64 * KiB,
  readAtOnceTurnBytesMax: 2 * MiB,

  // Memory
  cacheBytesMin: 16 * MiB,
  cacheBytesDefault: 256 * MiB,
  /** For images placed in RAM, where the host cannot tell how much memory is available. */
  ramBytesDefault: 256 * MiB,
  /** Memory for images is taken in these steps. */
  ramChunkBytes: 1 * MiB,
  /** Chunks that are given back in one turn when an image leaves RAM. */
  ramLetGoChunks: 256,
  /** Memory that images leave to the rest of the host. */
  ramHostKeptBytes: 128 * MiB,
  /** Clusters of a fill after which the host's memory is looked at again. */
  ramLookClusters: 256,
  /** Clusters that are read at the same time while an image is brought into RAM. */
  ramFillAtOnceMax: 4,
  /** Clusters after which a long walk over an image lets others have their turn. */
  ramFillTurnClusters: 16,
  ramPlanTurnClusters: 16_384,
  /** Once others had their turn, a fill goes on for this long. */
  ramFillMillis: 4,
  /** Pages of all overlay maps together. */
  overlayMapBytesMax: 512 * MiB,
  /** Maps of all committed versions together. */
  layerMapBytesMax: 512 * MiB,
  /** Of it, what layers' own runs leave to pages that are derived from them. */
  layerPagesBytesMin: 32 * MiB,
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
  /** Times that a backup begins anew because images moved on while it copied them. */
  backupTriesMax: 5,
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
  /** Changed files that one comparison of two versions lists; all are counted. */
  diffFilesListedMax: 10_000,
  /** Files of one file system that are compared: they are held in memory. */
  diffFilesMax: 1_000_000,
  /** What a tool may print, and how long it may take, to list them. */
  diffListingBytesMax: 512 * MiB,
  diffToolMillisMax: 900_000,
  /** Of the server's disk, that a copy for listing files leaves free. */
  diffFreeBytesMin: 256 * MiB,
  /** Logical partitions of a disk: each is a table of its own to read. */
  partitionsMax: 128,
  /** UEFI 2.10 §5.3: 128 are usual. */
  gptEntriesMax: 1024,
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

  // Disk space
  /** Of the data folder's disk, for super clients: this part of it, but no more than the next. */
  reserveShareDefault: 0.01,
  reserveBytesDefaultMax: 1 * GiB,
  /** The disk's free space is looked up after so much was written, or so long after a write. */
  reserveLookBytes: 16 * MiB,
  reserveLookMillis: 1000,

  // Boots
  /** From fetching the boot script to the first login with its boot id. Later logins have no limit. */
  bootIdMinutesMax: 60,
  /** A new boot waits so long for a sign of life of the boot before, where that one's session is open; an operating system is back after two or three seconds. */
  bootTwinMillisMax: 5000,
  /** Retired boot ids, and boots beside which another PC was refused, that the server's log names. */
  retiredBootsReportedMax: 1000,

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

  // Command line and API
  /** Of one request's body: an import of ten thousand clients, a heat file. */
  apiBodyBytesMax: 32 * MiB,
  /** A request's head and body have come by then. */
  apiRequestSecondsMax: 60,
  apiConnectionsMax: 1024,
  /** Items of one JSON answer; a stream gives them all. */
  apiItemsMax: 10_000,
  /** An event stream that has nothing to say says so. */
  apiHeartbeatMillis: 15_000,
  /** How often a call that is followed is looked at. */
  apiCallLookMillis: 250,
  /** Calls that are answered later (202), and what came of those that ended. */
  apiCallsKeptMax: 200,
  /** Refused tokens of one address in a minute; then it waits. */
  apiRefusalsPerMinuteMax: 10,
  apiRefusedAddressesMax: 10_000,
  /** What is told of the event loop's lag is of at most so long ago, where it is read that often. */
  metricsLagMillis: 60_000,
  /** How often those who follow the status are told what changed. */
  statusLookMillis: 1000,
  /** PCs that are gone from it, which are remembered for those who were cut off. */
  statusGoneMax: 1000,
  /** How often it is looked at what clients move. */
  trafficSampleMillis: 2000,
  /** Sessions that an operator disconnects are waited for: longer than a protocol gives its peers to close. */
  disconnectMillisMax: 8000,
  /** Clients that are asked to boot anew. */
  rebootRequestsMax: 10_000,
  /** A token that was verified is not hashed again for so long. */
  apiTokenTrustedMillis: 300_000,
  tokensMax: 1000,
  tokenDaysMax: 3650,
  /** A server that does not say within this time that it is there counts as not reachable. */
  controlAnswerSecondsMax: 5,
  /** How often a follower of the log looks for new events while no server runs. */
  followPollMillis: 500,
  /** Another command has the store: how often it is tried again, and after how long each time. */
  storeLockTries: 20,
  storeLockWaitMillis: 100,
  /** A path in sockaddr_un.sun_path, with its closing NUL (unix(7)). */
  unixSocketPathBytesMax: 107,

  // Heat
  /** Clusters that one recording holds, 4 GiB; what a boot reads later is not recorded. */
  heatClustersMax: 65_536,
  /** From a boot's first read on. */
  heatBootMillis: 300_000,
  heatWindowMillisMax: 86_400_000,
  /** Boots of one image that are recorded at the same time; a hundred PCs that start together read much the same. */
  heatBootsAtOnceMax: 4,
  /** Recordings of all images that run at the same time: less than 2 MiB each. */
  heatRecordingsMax: 16,
  /** Read one after the other without a gap, this much is a scan, and teaches nothing. */
  heatScanBytes: 128 * MiB,
  /** Streams of one recording that are watched for scans. */
  heatStreamsMax: 8,
  heatScansMax: 64,
  heatLabelsMax: 8,
  heatLabelCharsMax: 32,
  /** Recordings of one label that are kept; the share of reads is a share of theirs. */
  heatKeptMax: 8,
  /** Clusters of all recordings that are kept of one image. */
  heatEntriesMax: 524_288,
  /** Per cent of the reads that a hot zone covers. */
  heatShareDefault: 99,
  /** A boot whose misses take longer on average is read ahead of. */
  heatSlowMissMillis: 3,
  /** Misses of a boot that are looked at before it counts as slow. */
  heatSlowMissesMin: 4,
  /** How far reading ahead runs in front of a boot, in clusters. */
  heatAheadMax: 64,
  heatAheadAtOnceMax: 8,
  /** Reads in a row that the recorded order does not expect: the boot goes its own way. */
  heatStraysMax: 32,

  /** Bad clusters of one opened version that the server's log names. */
  damageReportsMax: 1000,
  /** Bad clusters that reads meet wait this long, so that those of one version share a command. */
  damageRecordMillis: 1000,
  /** While the log takes none. */
  damageRetryMillis: 60_000,
  /** Versions whose bad clusters wait for the log. */
  damageVersionsWaitingMax: 1000,

  /** Folders of backups that a store remembers. */
  backupsKnownMax: 16,

  // Scrub
  /** Slow enough not to be noticed beside clients; a terabyte takes most of a day. */
  scrubBytesPerSecondDefault: 16 * MiB,
  scrubBytesPerSecondMin: 64 * KiB,
  scrubEveryDaysDefault: 30,
  scrubEveryDaysMax: 3650,
  /** How often its place is kept. */
  scrubSaveMillis: 60_000,
  /** How often it looks whether something is due. */
  scrubLookMillis: 600_000,
  /** A version that could not be read whole is tried again after this time. */
  scrubRetryMillis: 24 * 3_600_000,
  /** Clusters in a row that cannot be read until the storage counts as away. */
  scrubUnreadableMax: 64,
  /** Clusters known to be zeros that are judged in one step. */
  scrubZeroClustersMax: 65_536,

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
  /** A read, or a question about a volume, that a storage plugin has not answered by then fails; initiators give up after 30 to 60 seconds. */
  pluginReadSecondsMax: 30,
  /** A write, a flush, or closing: a disk that is busy with others may really take so long. */
  pluginWriteSecondsMax: 60,
  pluginOpenSecondsMax: 60,
  /** Opening an image and each of its reads, through a format that waits for its storage. */
  formatSecondsMax: 120,
  /** One check of a conformance suite, on the command line. */
  pluginCheckSecondsMax: 120,
  /** Files that the suite of formats is given there; they are held in memory, and each check has its copies. */
  pluginCheckFileBytesMax: 64 * MiB,
  identityKeysMax: 16,
  identityCharsMax: 256,

  // Remote images
  /** Unit of the cache on disk, and the least that one request asks for. */
  remoteBlockBytes: 64 * KiB,
  /** What one request asks for at most; adjacent misses are joined up to this. */
  remoteRangeBytesMax: 1 * MiB,
  /** Requests of one image at a time. */
  remoteRangesMax: 8,
  remoteCacheBytesDefault: 16 * GiB,
  remoteCacheBytesMin: 16 * MiB,
  /** A hundred bytes of memory go with each block. */
  remoteCacheBytesMax: 256 * GiB,
  /** Kept for blocks of the cache on disk that are judged and not wanted whole. */
  remoteJudgingBytes: 1 * MiB,
  /** Without a folder, this much of an image is kept in memory. */
  remoteMemoryBytes: 32 * MiB,
  /** A read is answered within this time, with bytes or with an error. */
  remoteReadMillis: 15_000,
  /** A server that says nothing for this long is asked again. */
  remoteSilenceMillis: 5000,
  /** An image that is in the cache opens without its server after this time. */
  remoteOpenMillis: 3000,
  remoteRetryMillisMin: 100,
  remoteRetryMillisMax: 2000,
  remoteRedirectsMax: 5,
  remoteReadAheadBytesMax: 4 * MiB,
  /** Sequential readers of one image that are told apart. */
  remoteStreamsMax: 16,
  remoteUrlCharsMax: 2048,
  remoteSecretBytesMax: 16 * KiB,

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
must(limits.scrubBytesPerSecondMin >= limits.clusterBytes, "a scrub gets on by a cluster a second")
must(limits.heatLabelsMax * limits.heatClustersMax <= limits.heatEntriesMax, "a recording of each label is kept")
must(limits.heatBootsAtOnceMax <= limits.heatRecordingsMax, "boots of one image are some of all recordings")
must(limits.scanBytes % limits.clusterBytes === 0, "a scan step is whole clusters")
must(limits.ioBytesMax <= limits.nbdInFlightBytesMax, "one request of the largest size fits the in-flight budget")
must(limits.ioBytesMax <= limits.nbdOutputBytesMax, "one reply of the largest size fits the output budget")
must(limits.syncIoBytesMax + 64 <= limits.nbdSlabBytes, "a synchronous read and its header fit a slab")
must(limits.nbdOutputPauseBytes + limits.ioBytesMax <= limits.nbdOutputBytesMax, "a pause leaves room for one reply")
must(limits.iscsiFirstBurstBytesMax <= limits.iscsiBurstBytesMax, "a first burst is a burst (RFC 7143 §13.14)")
must(limits.scsiTransferBytesMax <= limits.ioBytesMax, "a transfer is a request")
must(limits.scsiTransferBytesMax <= limits.iscsiInFlightBytesMax, "one transfer of the largest size fits the budget")
must(
  // 512-byte segments are the shortest that may be agreed; each has a header and two digests
  limits.syncIoBytesMax + (limits.syncIoBytesMax / 512) * 56 <= limits.iscsiSlabBytes,
  "a synchronous read and all its headers fit a slab",
)
must(
  limits.iscsiKeepAliveSeconds + 3 <= limits.iscsiUnansweredSecondsMax,
  "several probes before a PC is taken for off",
)
must(
  limits.nbdKeepAliveSeconds + 3 <= limits.nbdUnansweredSecondsMax,
  "several probes before a client is taken for off",
)
must(limits.iscsiSlabBytes <= limits.iscsiSendBufferBytes, "what was gathered leaves at once")
must(limits.iscsiSegmentBytesMax + 8 <= limits.iscsiSlabBytes, "a data segment with padding and digest fits a slab")
must(limits.tftpTransfersPerPeerMax <= limits.tftpTransfersMax, "one peer has no more transfers than all")
must(limits.tftpProbeMillisMin <= limits.tftpTimeoutMillisMin, "the first time is the soonest")
must(limits.tftpTimeoutMillisMin <= limits.tftpTimeoutMillis, "a measured round trip makes less patient, if anything")
must(limits.bootPieceBytes <= limits.bootPiecesBytesMax, "a piece fits")
must(limits.tftpTimeoutMillis <= limits.tftpTimeoutMillisMax, "patience grows")
must(limits.pluginReadSecondsMax < limits.formatSecondsMax, "storage is given up before the format that waits for it")
must(
  limits.disconnectMillisMax > 1000 * Math.max(limits.iscsiCloseSecondsMax, limits.nbdCloseSecondsMax),
  "a session that is closed by force has ended when it is no longer waited for",
)
must(Number.isSafeInteger(limits.imageBytesMax), "offsets are exact numbers")
must(limits.csvRowsMax * 2 <= limits.commandEventsMax, "an import registers and links every row in one command")
must(limits.doctorDhcpAgainMillis < limits.doctorDhcpMillis, "a DISCOVER is sent again before the hearing ends")
must(limits.bootsRecordedMax <= limits.commandEventsMax, "every boot recorded is an event")
must(limits.bootTwinMillisMax < limits.iscsiLoginSecondsMax * 1000, "a login that waits for another PC is not too slow")
must(limits.bootRetrySeconds < limits.bootSilenceSecondsMax, "a boot that is tried again is the same boot")
must(limits.bootStuckSeconds < limits.bootForgottenSeconds, "a boot that is stuck is shown as that")
must(limits.commandClientsMax <= limits.commandEventsMax, "a command may link every client it may name")
const optionsBytesMax = limits.optionsMax * (limits.optionKeyCharsMax + 3 * limits.optionValueCharsMax + 6)
must(
  // before and after: options and a link in every slot; then the clients, and the envelope
  2 * (optionsBytesMax + (limits.slotMax + 1) * 256) + limits.groupEventClientsMax * 160 + 1024 <= limits.eventBytesMax,
  "a group's largest change fits an event",
)
must(limits.remoteRangeBytesMax % limits.remoteBlockBytes === 0, "a range is whole blocks")
must(limits.remoteSilenceMillis <= limits.remoteReadMillis, "a silent server is asked again within the deadline")
must(2 ** limits.qcow2ClusterBitsMax <= limits.qcow2UnpackedBytesMax, "a cluster of the largest size can be kept")
must(limits.qcow2SliceBytesMax <= limits.qcow2SlicesBytesMax, "a part of an L2 table can be kept")
must(2 * limits.layerNumberMax + 1 <= 0xffff, "a layer and whether it zeroed fit one entry of a map")
