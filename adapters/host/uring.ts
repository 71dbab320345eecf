/**
 * io_uring(7): requests to the kernel, and what became of them, in memory that both see; one call hands over many requests and waits for answers.
 *
 *     struct io_uring_sqe, 64 bytes    opcode 1, flags 1, ioprio 2, fd 4, offset 8, address 8, length 4, its operation's flags 4, user data 8; the rest is zero
 *     struct io_uring_cqe, 16 bytes    user data 8, result 4, flags 4
 *     struct io_uring_params, 120      entries at 0, flags at 8, features at 20, where the fields of the first ring are at 40, of the second at 80
 *     struct io_uring_getevents_arg    signals 8, their size 4, 4, address of a struct timespec 8                 (include/uapi/linux/io_uring.h)
 *
 * **Details** With DEFER_TASKRUN the kernel answers, and fills buffers, only while this thread is inside of `enter`; so nothing changes under JavaScript's hands, and plain
 * reads and writes of both rings are in order. It takes Linux 6.1; where it is forbidden, as in most containers, or older, there is none.
 *
 * **Gotchas** A ring is for the thread that made it.
 */
export interface UringCalls {
  readonly setup: (number: number, entries: number, params: Uint8Array) => number
  readonly enter: (
    number: number,
    ring: number,
    submit: number,
    complete: number,
    flags: number,
    argument: number,
    bytes: number,
  ) => number
  /** An address, as the foreign function library has it. */
  readonly map: (at: null, bytes: number, protection: number, flags: number, fd: number, offset: number) => unknown
  readonly unmap: (at: unknown, bytes: number) => number
  readonly view: (at: unknown, bytes: number) => ArrayBuffer
  readonly close: (fd: number) => number
  readonly addressOf: (memory: Uint8Array | Uint32Array) => bigint
}

export const OPERATION = { SENDMSG: 9, RECVMSG: 10, ASYNC_CANCEL: 14 } as const
/** Of a request: tells nothing when all went well. */
export const SKIP_SUCCESS = 1 << 6
/** Of one to receive, in place of a priority: waits before it tries, for there is nothing yet. */
export const POLL_FIRST = 1 << 0

const SYS_SETUP = 425
const SYS_ENTER = 426
const SUBMIT_ALL = 1 << 7
const SINGLE_ISSUER = 1 << 12
const DEFER_TASKRUN = 1 << 13
const SINGLE_MMAP = 1 << 0
const GETEVENTS = 1 << 0
const EXT_ARG = 1 << 3
const PARAMS_BYTES = 120
const REQUEST_WORDS = 16
const ANSWER_WORDS = 4
const REQUESTS_AT = 0x1000_0000
/** Words of struct io_uring_getevents_arg; what follows is the time that it points to. */
const TIMESPEC = 6
const PROT_READ_WRITE = 3
const MAP_SHARED_POPULATE = 0x8001

/** What requests of one kind have in common. */
export interface UringRequest {
  readonly operation: number
  readonly flags: number
  readonly priority: number
  readonly length: number
  readonly operationFlags: number
}

export class Uring {
  readonly #calls: UringCalls
  #fd: number
  readonly #maps: ReadonlyArray<readonly [at: unknown, bytes: number]>
  #requests: Uint32Array
  #rings: Uint32Array
  /** Places in `#rings`, in words. */
  readonly #at: { readonly [name in "sqHead" | "sqTail" | "cqHead" | "cqTail" | "answers"]: number }
  readonly #entries: number
  readonly #answerMask: number
  /** Of its own memory: a small typed array may live among V8's objects, which move. */
  readonly #argument = new Uint32Array(new ArrayBuffer(24 + 16))
  readonly #argumentAt: number
  #tail = 0
  #head = 0

  /** `entries`: a power of two; so many requests are handed over at once at most, and twice as many answers wait. Undefined where the kernel has none for us. */
  static open(calls: UringCalls, entries: number): Uring | undefined {
    const params = Buffer.alloc(PARAMS_BYTES, 0)
    params.writeUInt32LE(SUBMIT_ALL | SINGLE_ISSUER | DEFER_TASKRUN, 8)
    const fd = calls.setup(SYS_SETUP, entries, params)
    if (fd < 0) return undefined
    if ((params.readUInt32LE(20) & SINGLE_MMAP) !== 0) return new Uring(calls, fd, params)
    calls.close(fd)
    return undefined
  }

  private constructor(calls: UringCalls, fd: number, params: Buffer) {
    const u32 = (at: number) => params.readUInt32LE(at)
    const [entries, answers] = [u32(0), u32(4)]
    const ringBytes = Math.max(u32(40 + 24) + 4 * entries, u32(80 + 20) + 4 * ANSWER_WORDS * answers)
    const words = (bytes: number, offset: number) => {
      const at = calls.map(null, bytes, PROT_READ_WRITE, MAP_SHARED_POPULATE, fd, offset)
      return { at, bytes, words: new Uint32Array(calls.view(at, bytes)) }
    }
    const rings = words(ringBytes, 0)
    const requests = words(entries * 4 * REQUEST_WORDS, REQUESTS_AT)
    this.#calls = calls
    this.#fd = fd
    this.#maps = [rings, requests].map(({ at, bytes }) => [at, bytes])
    this.#rings = rings.words
    this.#requests = requests.words
    this.#at = {
      sqHead: u32(40) / 4,
      sqTail: u32(40 + 4) / 4,
      cqHead: u32(80) / 4,
      cqTail: u32(80 + 4) / 4,
      answers: u32(80 + 20) / 4,
    }
    this.#entries = entries
    this.#answerMask = answers - 1
    // Which request is at which place of the ring: each at its own.
    for (let n = 0; n < entries; n++) this.#rings[u32(40 + 24) / 4 + n] = n
    this.#argumentAt = Number(calls.addressOf(this.#argument))
    const timespecAt = this.#argumentAt + 4 * TIMESPEC
    this.#argument[4] = timespecAt
    this.#argument[5] = timespecAt / 2 ** 32
  }

  /** Requests that wait for `enter`. */
  get waiting(): number {
    return this.#fd < 0 ? 0 : (this.#tail - this.#rings[this.#at.sqHead]!) >>> 0
  }

  get full(): boolean {
    return this.waiting === this.#entries
  }

  /** A request more, for which there is room. */
  put(
    { operation, flags, priority, length, operationFlags }: UringRequest,
    fd: number,
    address: number,
    userData: number,
  ): void {
    const words = this.#requests
    const at = (this.#tail & (this.#entries - 1)) * REQUEST_WORDS
    words[at] = operation | (flags << 8) | (priority << 16)
    words[at + 1] = fd
    words[at + 4] = address
    words[at + 5] = address / 2 ** 32
    words[at + 6] = length
    words[at + 7] = operationFlags
    words[at + 8] = userData
    this.#tail = (this.#tail + 1) >>> 0
    this.#rings[this.#at.sqTail] = this.#tail
  }

  /** Hands over all requests, and waits until there is an answer, or so long. */
  enter(millis: number): void {
    this.#argument[TIMESPEC] = Math.floor(millis / 1000)
    this.#argument[TIMESPEC + 2] = (millis % 1000) * 1e6
    const complete = millis > 0 ? 1 : 0
    this.#calls.enter(SYS_ENTER, this.#fd, this.waiting, complete, GETEVENTS | EXT_ARG, this.#argumentAt, 24)
  }

  /** Answers that nobody looked at yet. */
  get answered(): number {
    return this.#fd < 0 ? 0 : (this.#rings[this.#at.cqTail]! - this.#head) >>> 0
  }

  userData(n: number): number {
    return this.#rings[this.#answerAt(n)]!
  }
  /** Negative for an error of errno(3). */
  result(n: number): number {
    return this.#rings[this.#answerAt(n) + 2]! | 0
  }

  /** So many of them were looked at. */
  seen(count: number): void {
    this.#head = (this.#head + count) >>> 0
    this.#rings[this.#at.cqHead] = this.#head
  }

  /** What was asked for and not answered is asked for no more; what is asked for afterwards, nobody hears. */
  close(): void {
    if (this.#fd < 0) return
    this.#calls.close(this.#fd)
    this.#fd = -1
    // Before their memory goes: a read of it then would end the process.
    this.#rings = this.#requests = new Uint32Array(0)
    for (const [at, bytes] of this.#maps) this.#calls.unmap(at, bytes)
  }

  #answerAt(n: number): number {
    return this.#at.answers + ((this.#head + n) & this.#answerMask) * ANSWER_WORDS
  }
}
