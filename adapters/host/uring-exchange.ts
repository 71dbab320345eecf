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
import type { DatagramExchange } from "../../core/host.ts"
import { limits } from "../../core/limits.ts"
import { MSG_DONTWAIT } from "./datagrams.ts"
import { MessageLines } from "./message-lines.ts"
import { OPERATION, POLL_FIRST, SKIP_SUCCESS, Uring, type UringCalls, type UringRequest } from "./uring.ts"

/** User data of a request whose answer nobody waits for; of the others, a place's number. */
const NOBODY = 0xffff_ffff

/** Of one message each. */
const one = { flags: SKIP_SUCCESS, priority: 0, length: 1, operationFlags: 0, userData: NOBODY }
const send = { ...one, operation: OPERATION.SENDMSG, operationFlags: MSG_DONTWAIT }
const receive = { ...one, operation: OPERATION.RECVMSG, flags: 0, priority: POLL_FIRST }
const cancel = { ...one, operation: OPERATION.ASYNC_CANCEL, length: 0, fd: -1 }

interface Place {
  readonly number: number
  /** -1 when it is watched no more. */
  fd: number
  /** The kernel has a request to receive for it. */
  asked: boolean
}

export class UringExchange implements DatagramExchange {
  readonly #ring: Uring
  readonly #in: MessageLines
  readonly #out: MessageLines
  readonly #places: ReadonlyArray<Place>
  readonly #free: Array<Place>
  readonly #byFd = new Map<number, Place>()
  /** To be asked for again at the next wait. */
  #unasked: Array<Place> = []
  /** Whose datagrams the last wait handed out. */
  readonly #came: Array<Place> = []
  #taken = 0
  #sending = 0

  /** `sockets` at once, with datagrams of so many bytes at most. Undefined where the kernel has none for us. */
  static open(calls: UringCalls, sockets: number, bytesMax: number): UringExchange | undefined {
    const ring = Uring.open(calls, limits.uringEntries)
    return ring === undefined ? undefined : new UringExchange(ring, calls, sockets, bytesMax)
  }

  private constructor(ring: Uring, { addressOf }: UringCalls, sockets: number, bytesMax: number) {
    this.#ring = ring
    this.#in = new MessageLines(addressOf, sockets, limits.exchangeReceiveBytes)
    this.#out = new MessageLines(addressOf, limits.exchangeSendLines, bytesMax)
    this.#places = Array.from({ length: sockets }, (_, number) => ({ number, fd: -1, asked: false }))
    this.#free = this.#places.toReversed()
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
    if (place.asked) this.#ask({ ...cancel, address: place.number })
  }

  send(fd: number, bytes: Uint8Array, address: number, port: number): void {
    if (this.#sending === this.#out.count || this.#ring.full) this.flush()
    if (this.#sending === this.#out.count || bytes.length > this.#out.bytesMax) return
    this.#out.put(this.#sending, bytes, address, port)
    if (this.#ask({ ...send, fd, address: this.#out.headers[this.#sending]! })) this.#sending++
  }

  flush(): void {
    this.#enter(0)
  }

  wait(millis: number): number {
    const waits = this.#unasked
    this.#unasked = []
    for (const place of waits) this.#receive(place)
    this.#enter(this.#ring.answered > 0 ? 0 : millis)
    this.#look()
    return this.#came.length
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
    for (const fd of [...this.#byFd.keys()]) this.forget(fd)
    this.flush()
    this.#ring.close()
  }

  #receive(place: Place): void {
    const { number, fd } = place
    if (fd < 0) this.#free.push(place)
    else if (this.#ask({ ...receive, fd, address: this.#in.headers[number]!, userData: number })) place.asked = true
    else this.#unasked.push(place)
  }

  #look(): void {
    const ring = this.#ring
    const count = ring.answered
    this.#came.length = 0
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
    this.#came.push(place)
  }

  /** False where the kernel takes no more now. */
  #ask(request: UringRequest): boolean {
    if (this.#ring.full) this.flush()
    if (this.#ring.full) return false
    this.#ring.put(request)
    return true
  }

  #enter(millis: number): void {
    this.#ring.enter(millis)
    if (this.#ring.waiting === 0) this.#sending = 0
  }
}
