/**
 * Which processor takes a request, and where a thread runs: processors by their number, divided among threads by what is left of it.
 *
 *     sched_getaffinity(2), sched_setaffinity(2)    cpu_set_t: a bit for each processor, in 64-bit words; 0 is the calling thread
 */

/** The C library's. */
export interface ProcessorCalls {
  readonly getaffinity: (thread: number, bytes: number, set: Uint8Array) => number
  readonly setaffinity: (thread: number, bytes: number, set: Uint8Array) => number
}

/** cpu_set_t: 1024 processors. */
const SET_BYTES = 128

/** Keeps the calling thread to those of its processors whose number leaves `remainder`. False where it has none such, or may not. */
export const keepToProcessors =
  ({ getaffinity, setaffinity }: ProcessorCalls) =>
  (divisor: number, remainder: number): boolean => {
    const set = Buffer.alloc(SET_BYTES)
    if (getaffinity(0, SET_BYTES, set) !== 0) return false
    let kept = 0
    for (let n = 0; n < 8 * SET_BYTES; n++) {
      const bit = 1 << (n % 8)
      const byte = n >> 3
      if (n % divisor !== remainder) set[byte]! &= ~bit
      else if ((set[byte]! & bit) !== 0) kept++
    }
    return kept > 0 && setaffinity(0, SET_BYTES, set) === 0
  }

/** struct sock_fprog and struct sock_filter (linux/filter.h). */
export const SOCK_FPROG_BYTES = 16
const SOCK_FILTER_BYTES = 8

/** A program of the kernel's packet filter: the number of the processor that runs it (SKF_AD_CPU), what is left of it when divided. struct sock_fprog, and behind it what it points to. */
export const processorRemainder = (divisor: number, addressOf: (memory: Uint8Array) => bigint): Buffer => {
  const [LOAD_WORD, MODULO, RETURN] = [0x20, 0x94, 0x16]
  const SKF_AD_CPU = 0xffff_f000 + 36
  const instructions = [
    [LOAD_WORD, SKF_AD_CPU],
    [MODULO, divisor],
    [RETURN, 0],
  ] as const
  const memory = Buffer.from(new ArrayBuffer(SOCK_FPROG_BYTES + instructions.length * SOCK_FILTER_BYTES))
  memory.writeUInt16LE(instructions.length, 0)
  memory.writeBigUInt64LE(addressOf(memory) + BigInt(SOCK_FPROG_BYTES), 8)
  for (const [n, [code, value]] of instructions.entries()) {
    const at = SOCK_FPROG_BYTES + n * SOCK_FILTER_BYTES
    memory.writeUInt16LE(code, at)
    memory.writeUInt32LE(value, at + 4)
  }
  return memory
}
