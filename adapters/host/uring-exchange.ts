/**
 * Datagrams on many sockets with one call of the system for all that was sent meanwhile and all that has come: io_uring (uring.ts).
 *
 *     forget, watch, send ─► requests …   wait ─► all of them are handed over, one answer at least ─► each socket's datagram
 *
 * **Details** A socket that is watched has one request to receive at any time, but from when its datagram was handed out until the next wait. What is sent is on its way
 * when the call returns (MSG_DONTWAIT), so its line is free again. A server that is sent one block's answer by each of thirty clients makes one call then, where taking
 * and sending each by itself made sixty, and stood back for every third or fourth client that had something to do: a quarter of its time.
 *
 * **Gotchas** A request to receive holds its socket open: `forget` takes it back, and it is gone after `flush`.
 */
import { constants } from "node:os"
import type { DatagramExchange } from "../../core/host.ts"
import { limits } from "../../core/limits.ts"
import { MSG_DONTWAIT } from "./datagrams.ts"
import { MessageLines } from "./message-lines.ts"
import { openUdp, type SocketCalls } from "./udp-sockets.ts"
import { OPERATION, POLL_FIRST, SKIP_SUCCESS, Uring, type UringCalls, type UringRequest } from "./uring.ts"

/** User data of a request whose answer nobody waits for; of the others, a place's number. */
const NOBODY = 0xffff_ffff

/** Of one message each. */
const one = { flags: SKIP_SUCCESS, priority: 0, length: 1, operationFlags: 0 }
const send = { ...one, operation: OPERATION.SENDMSG, operationFlags: MSG_DONTWAIT }
const receive = { ...one, operation: OPERATION.RECVMSG, flags: 0, priority: POLL_FIRST }
const cancel = { ...one, operation: OPERATION.ASYNC_CANCEL, length: 0 }

interface Place {
  readonly number: number
  /** -1 when it is watched no more. */
  fd: number
  /** The kernel has a request to receive for it. */
  asked: boolean
}

export class UringExchange implements DatagramExchange {
  readonly #ring: Uring
  readonly #sockets: SocketCalls
  readonly #in: MessageLines
  readonly #out: MessageLines
  readonly #places: ReadonlyArray<Place>
  readonly #free: Array<Place>
  readonly #byFd = new Map<number, Place>()
  /** Sockets of its own, and those that are closed when what they have asked for is over. */
  readonly #own = new Set<number>()
  readonly #shutting: Array<number> = []
  /** To be asked for again at the next wait. */
  readonly #unasked: Array<Place> = []
  /** Whose datagrams the last wait handed out: the first `#cameCount`. */
  readonly #came: Array<Place>
  #cameCount = 0
  #taken = 0
  #sending = 0

  /** `sockets` at once, with datagrams of so many bytes at most. Undefined where the kernel has none for us. */
  static open(calls: UringCalls & SocketCalls, sockets: number, bytesMax: number): UringExchange | undefined {
    const ring = Uring.open(calls, limits.uringEntries)
    return ring === undefined ? undefined : new UringExchange(ring, calls, sockets, bytesMax)
  }

  private constructor(ring: Uring, calls: UringCalls & SocketCalls, sockets: number, bytesMax: number) {
    const { addressOf } = calls
    this.#ring = ring
    this.#sockets = calls
    this.#in = new MessageLines(addressOf, sockets, limits.exchangeReceiveBytes)
    this.#out = new MessageLines(addressOf, limits.exchangeSendLines, bytesMax)
    this.#places = Array.from({ length: sockets }, (_, number) => ({ number, fd: -1, asked: false }))
    this.#free = this.#places.toReversed()
    this.#came = [...this.#places]
  }

  watch(fd: number): boolean {
    const place = fd < 0 || this.#byFd.has(fd) ? undefined : this.#free.pop()
    if (place === undefined) return false
    place.fd = fd
    this.#byFd.set(fd, place)
    this.#unasked.push(place)
    return true
  }

  forget(fd: number): void {
    const place = this.#byFd.get(fd)
    if (place === undefined) return
    this.#byFd.delete(fd)
    place.fd = -1
    if (place.asked) this.#ask(cancel, -1, place.number, NOBODY)
  }

  open(address: number): number {
    const fd = openUdp(this.#sockets, address)
    if (fd < 0) return fd
    this.#own.add(fd)
    if (this.watch(fd)) return fd
    this.shut(fd)
    return -constants.errno.EMFILE
  }

  shut(fd: number): void {
    this.forget(fd)
    if (this.#own.delete(fd)) this.#shutting.push(fd)
  }

  get bytesMax(): number {
    return this.#out.bytesMax
  }
  get memory(): Uint8Array {
    return this.#out.memory
  }
  line(): number {
    if (this.#sending === this.#out.count || this.#ring.full) this.flush()
    return this.#sending === this.#out.count ? -1 : this.#out.bytesAt(this.#sending)
  }
  sendLine(fd: number, length: number, address: number, port: number): void {
    this.#out.addressed(this.#sending, length, address, port)
    if (this.#ask(send, fd, this.#out.headers[this.#sending]!, NOBODY)) this.#sending++
  }

  flush(): void {
    this.#enter(0)
  }

  wait(millis: number): number {
    this.#askAgain()
    this.#enter(this.#ring.answered > 0 ? 0 : millis)
    this.#look()
    return this.#cameCount
  }

  fd(n: number): number {
    return this.#came[n]!.fd
  }
  take(n: number): boolean {
    const { number, fd } = this.#came[n]!
    this.#taken = number
    return fd >= 0
  }
  get bytes(): Uint8Array {
    return this.#in.bytes(this.#taken)
  }
  get address(): number {
    return this.#in.address(this.#taken)
  }
  get port(): number {
    return this.#in.port(this.#taken)
  }

  close(): void {
    for (const fd of [...this.#own]) this.shut(fd)
    for (const fd of [...this.#byFd.keys()]) this.forget(fd)
    this.flush()
    this.#ring.close()
  }

  #askAgain(): void {
    const unasked = this.#unasked
    while (unasked.length > 0 && this.#receive(unasked.at(-1)!)) unasked.pop()
  }

  /** False where the kernel takes no more now. */
  #receive(place: Place): boolean {
    const { number, fd } = place
    if (fd < 0) this.#free.push(place)
    else if (this.#ask(receive, fd, this.#in.headers[number]!, number)) place.asked = true
    else return false
    return true
  }

  #look(): void {
    const ring = this.#ring
    const count = ring.answered
    this.#cameCount = 0
    for (let n = 0; n < count; n++) {
      const number = ring.userData(n)
      if (number !== NOBODY) this.#answered(this.#places[number]!, ring.result(n))
    }
    ring.seen(count)
  }

  #answered(place: Place, result: number): void {
    place.asked = false
    this.#unasked.push(place)
    if (place.fd < 0 || result < 0) return
    this.#in.came(place.number, result)
    this.#came[this.#cameCount++] = place
  }

  /** False where the kernel takes no more now. */
  #ask(request: UringRequest, fd: number, address: number, userData: number): boolean {
    if (this.#ring.full) this.flush()
    if (this.#ring.full) return false
    this.#ring.put(request, fd, address, userData)
    return true
  }

  #enter(millis: number): void {
    this.#ring.enter(millis)
    if (this.#ring.waiting > 0) return
    this.#sending = 0
    for (let fd = this.#shutting.pop(); fd !== undefined; fd = this.#shutting.pop()) this.#sockets.close(fd)
  }
}
