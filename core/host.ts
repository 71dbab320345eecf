/**
 * What the operating system offers and Node lacks, as one injected port whose every call is optional.
 *
 * **Details** A missing method means "not known here", and every caller has an honest fallback: without `bootId` an
 * overlay trusts only its durable map, without `punchHole` trimmed space is given back only when the overlay goes.
 *
 * **Gotchas** Which methods there are may be found out when they are first looked at: take a method from the host where it is
 * needed, not at start.
 */
export interface Host {
  /** Identity of the running kernel instance; equal before and after a process dies, different after a power loss. */
  readonly bootId?: () => string | undefined
  /** Name of the user this process runs as, for refusals. */
  readonly userName?: () => string
  /** Bytes that can be taken without swapping. */
  readonly memoryAvailableBytes?: () => number | undefined
  /**
   * Gives `[offset, offset + length)` of an open file back to the file system, and leaves zeros; false when it cannot. It may wait for
   * the file system's journal, so it is asynchronous; the file must stay open until it has settled.
   */
  readonly punchHole?: ((fd: number, offset: number, length: number) => Promise<boolean>) | undefined
  /** The next run of data at or after `offset` in an open file, or undefined past the last one. */
  readonly nextData?:
    | ((fd: number, offset: number) => { readonly offset: number; readonly end: number } | undefined)
    | undefined
  /**
   * Reads what the system has of an open file in memory, without waiting for a disk: how many bytes came; none or less than none where the first one is not there,
   * or nobody can tell.
   */
  readonly readCached?:
    | ((fd: number, into: Uint8Array, at: number, length: number, offset: number) => number)
    | undefined
  /** Who is at the other end of a connected unix socket, as the kernel saw it when it connected; undefined for other sockets. */
  readonly peerCredentials?: ((fd: number) => PeerCredentials | undefined) | undefined
  /** Keeps a socket to one network interface; false when there is no such interface or it may not. */
  readonly bindToDevice?: ((fd: number, name: string) => boolean) | undefined
  /**
   * Ends a TCP connection whose peer has not acknowledged for so long what was sent to it; of a listener, those that it takes from now on.
   * False when it cannot.
   */
  readonly unansweredMax?: ((fd: number, millis: number) => boolean) | undefined
  /**
   * Keeps what was sent by a TCP connection and is not acknowledged yet to so many bytes, of memory of the operating system about twice as much; of a
   * listener, those that it takes from now on. False when it cannot: then the system chooses, and changes its mind.
   */
  readonly sendBufferMax?: ((fd: number, bytes: number) => boolean) | undefined
  /** The network interface that a socket is kept to; empty for none, undefined when it is no socket. */
  readonly boundDevice?: ((fd: number) => string | undefined) | undefined
  /** Takes and sends so many IPv4 datagrams of at most so many bytes with one call. */
  readonly datagrams?: ((count: number, bytesMax: number) => DatagramBatch) | undefined
  /** Whether the kernel holds its clock for synchronised; undefined where it does not tell. */
  readonly clockSynchronised?: (() => boolean | undefined) | undefined
  /** IPv4 datagrams of so many sockets, for a thread that does nothing else; those that are sent have at most so many bytes. */
  readonly datagramExchange?: ((sockets: number, bytesMax: number) => DatagramExchange) | undefined
  /** Lets other sockets of this user be bound to the port that a bound one has, if they say so as well. False when it cannot. */
  readonly sharePort?: ((fd: number) => boolean) | undefined
  /** Of so many sockets that share a port, the n-th hears what was taken by each processor whose number has this remainder. False when it cannot: then each client has one by chance. */
  readonly shareByProcessor?: ((fd: number, sockets: number) => boolean) | undefined
  /** From now on the calling thread runs on those processors only whose number has this remainder. False when it cannot, or has none such. */
  readonly keepToProcessors?: ((divisor: number, remainder: number) => boolean) | undefined
  /** A folder of this server for what can be fetched again at any time. */
  readonly cacheFolder?: () => string | undefined
}

export interface PeerCredentials {
  readonly pid: number
  readonly uid: number
  readonly gid: number
}

/** IPv4 datagrams that were taken from a socket together, and a line of those that are sent together. Addresses are numbers. */
export interface DatagramBatch {
  /** Takes what has come, without waiting for more, at most so many or as many as fit; how many. What is longer than fits is cut. */
  receive(fd: number, most?: number): number
  /** Of those taken last. The bytes are the batch's own, and others when it takes again. */
  bytes(n: number): Uint8Array
  address(n: number): number
  port(n: number): number
  /** The line takes no more. */
  readonly full: boolean
  /** Copies one into the line; false when it does not fit. */
  put(bytes: Uint8Array, address: number, port: number): boolean
  /** Sends the line and empties it. `failed` hears of each that the system does not take, by its place in the line. */
  send(fd: number, failed: (n: number, why: string) => void): void
}

/** Takes datagrams from many sockets and sends them, on the calling thread, with as few calls of the system as it can. Addresses are numbers. */
export interface DatagramExchange {
  /** What comes to a socket is told by `wait` from now on. False when it cannot be watched. */
  watch(fd: number): boolean
  /** It may be closed after the next `flush` or `wait`. */
  forget(fd: number): void
  /** A socket of its own, bound to any free port of an address, and watched; negative where there is none: an error of errno(3). */
  open(address: number): number
  /** One of its own is forgotten, and closed after the next `flush` or `wait` at the latest. What was to be sent from it leaves before. */
  shut(fd: number): void
  /** The most bytes that a datagram may have which is sent. */
  readonly bytesMax: number
  /** Where in `memory` the next datagram to be sent is laid down; -1 where there is no room, so that it is lost. */
  line(): number
  readonly memory: Uint8Array
  /** So many bytes of that line leave with the next `flush` or `wait`, if not before. What the system does not take is lost. */
  sendLine(fd: number, length: number, address: number, port: number): void
  flush(): void
  /** Sends what is to be sent, and waits until something has come to a socket, or so long; how many sockets have something. */
  wait(millis: number): number
  /** Of those, the n-th; -1 when it was forgotten meanwhile. */
  fd(n: number): number
  /** Takes what came to the n-th; false when it is gone. */
  take(n: number): boolean
  /** What was taken last, which is the exchange's own until the next one is; what is long is cut. */
  readonly bytes: Uint8Array
  readonly address: number
  readonly port: number
  close(): void
}
