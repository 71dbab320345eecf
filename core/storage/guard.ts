/**
 * The rear guard: completes what a plugin left out, and judges what it answers.
 *
 *     part       left out                                   present
 *     read       (required)                                 errors contained
 *     readSync   none: answers false                        native: must answer true or false
 *     write      none: READ_ONLY                            native; needs flush beside it
 *     writeSync  none: answers false                        native; needs write beside it
 *     flush      emulated: nothing was written, so nothing  native
 *     punch      none: answers false                        native: must answer true or false
 *     extents    emulated: everything is data               native: adjoining, inside, not empty, at most `max`
 *     identity   emulated: the size                         native: a few short strings
 *
 * With it in place no plugin needs an `if` and no box above needs one either. A request outside the volume is refused here with
 * OUT_OF_RANGE and not asserted, because offsets often come out of a damaged file's tables. A buffer too small is an assertion.
 *
 * **What hangs** has a deadline, and its caller IO_ERROR. Until the plugin answers after all, writes that overlap a stuck one are refused, because it
 * may yet land on top of them; and the volume is closed only then. So a volume with something stuck says so when it is closed.
 *
 * **What lies** about lengths is told from the end of a read: a mark that is put there must be gone. The plugin is lent a buffer of the guard's own for
 * everything asynchronous, so that nothing it does late, or outside its part, is seen by anybody.
 *
 * **Gotchas** An abort never settles a request early. The guard cannot see wrong bytes, nor what the synchronous doors leave undone; that is
 * what checksums above it and the conformance suite are for.
 */
import assert from "node:assert"
import type { Extent } from "../block/device.ts"
import { fail } from "../errors.ts"
import { Asker, type Patience, pluginPatience } from "./asker.ts"
import { contain, type Request, type Where } from "./contain.ts"
import { extentFault, identityFault, volumeFault } from "./judge.ts"
import { isMarked, LentBuffers, mark } from "./lent-buffers.ts"
import type { Volume, VolumeIdentity } from "./volume.ts"

export type Support = "none" | "emulated" | "native"
export type OptionalPart = Exclude<keyof Volume, "sizeBytes" | "read" | "close">

/** A volume with every part present. Its `close` waits for requests in flight, and a second close is the first. */
export interface GuardedVolume extends Required<Volume> {
  /** What the plugin brought itself, what the guard stands in for, and what is not to be had. */
  readonly support: Readonly<Record<OptionalPart, Support>>
  /** Whether `close` was called. */
  readonly isClosed: boolean
}

/** Puts the guard around what a plugin opened. @throws PLUGIN_BROKE_CONTRACT when it is not a volume at all */
export const guardVolume = (volume: Volume, where: Where, patience: Patience = pluginPatience): GuardedVolume => {
  const fault = volumeFault(volume)
  if (fault !== undefined) throw fail("PLUGIN_BROKE_CONTRACT", { kind: where.kind, why: fault })
  return new Guarded(volume, where, patience)
}

const supportOf = (volume: Volume): Record<OptionalPart, Support> => {
  const part = (name: OptionalPart, otherwise: Support): Support => (volume[name] === undefined ? otherwise : "native")
  return {
    readSync: part("readSync", "none"),
    write: part("write", "none"),
    writeSync: part("writeSync", "none"),
    flush: part("flush", "emulated"),
    punch: part("punch", "none"),
    extents: part("extents", "emulated"),
    identity: part("identity", "emulated"),
  }
}

class Guarded implements GuardedVolume {
  readonly sizeBytes: number
  readonly support: Readonly<Record<OptionalPart, Support>>
  readonly #volume: Volume
  readonly #where: Where
  readonly #asking: Asker
  readonly #lent = new LentBuffers()
  #closing: Promise<void> | undefined

  constructor(volume: Volume, where: Where, patience: Patience) {
    this.sizeBytes = volume.sizeBytes
    this.support = supportOf(volume)
    this.#volume = volume
    this.#where = where
    this.#asking = new Asker(where, patience, () => this.#lent.clear())
  }

  readSync(into: Uint8Array, at: number, offset: number, length: number): boolean {
    this.#judge(offset, length)
    judgeBuffer(into, at, length)
    if (this.#volume.readSync === undefined) return false
    let answer: boolean
    try {
      answer = this.#volume.readSync(into, at, offset, length)
    } catch (thrown) {
      throw contain(thrown, this.#where, { need: "read", offset, length })
    }
    return answer === true || answer === false ? answer : this.#notBoolean("readSync", answer)
  }

  async read(into: Uint8Array, at: number, offset: number, length: number, signal?: AbortSignal): Promise<void> {
    this.#judge(offset, length)
    judgeBuffer(into, at, length)
    const lent = this.#lent.take(length)
    const request: Request = { need: "read", offset, length }
    let short = true
    for (const seed of MARKS) {
      mark(lent, length, seed)
      const answer = await this.#ask(
        request,
        (volume, end): unknown => volume.read(lent, 0, offset, length, end),
        signal,
      )
      this.#judgeCount("read", answer, length)
      short = isMarked(lent, length, seed)
      if (!short) break
    }
    if (short) this.#broke(`a read of ${length} bytes at ${offset} settled before its last bytes were there`)
    lent.copy(into, at, 0, length)
    this.#lent.give(lent)
  }

  writeSync(from: Uint8Array, at: number, offset: number, length: number): boolean {
    this.#judge(offset, length)
    judgeBuffer(from, at, length)
    if (this.#volume.writeSync === undefined) return false
    if (this.#asking.stuck.size > 0) this.#judgeStuck(offset, length)
    let answer: boolean
    try {
      answer = this.#volume.writeSync(from, at, offset, length)
    } catch (thrown) {
      throw contain(thrown, this.#where, { need: "write", offset, length })
    }
    return answer === true || answer === false ? answer : this.#notBoolean("writeSync", answer)
  }

  async write(from: Uint8Array, at: number, offset: number, length: number, signal?: AbortSignal): Promise<void> {
    this.#judge(offset, length)
    judgeBuffer(from, at, length)
    if (this.#volume.write === undefined) throw fail("READ_ONLY", { offset, length, what: this.#where.path })
    this.#judgeStuck(offset, length)
    const lent = this.#lent.take(length)
    lent.set(from.subarray(at, at + length))
    const answer = await this.#ask(
      { need: "write", offset, length },
      (volume, end): unknown => volume.write?.(lent, 0, offset, length, end),
      signal,
    )
    this.#judgeCount("write", answer, length)
    this.#lent.give(lent)
  }

  async flush(): Promise<void> {
    this.#judgeOpen()
    await this.#ask({ need: "write" }, (volume) => volume.flush?.())
  }

  async punch(offset: number, length: number): Promise<boolean> {
    this.#judge(offset, length)
    if (this.#volume.punch === undefined) return false
    this.#judgeStuck(offset, length)
    const answer = await this.#ask({ need: "write", offset, length }, (volume) => volume.punch?.(offset, length))
    return answer === true || answer === false ? answer : this.#notBoolean("punch", answer)
  }

  async extents(offset: number, length: number, max: number): Promise<ReadonlyArray<Extent>> {
    this.#judge(offset, length)
    assert(Number.isInteger(max) && max > 0, "extents: max is a positive whole number")
    if (this.#volume.extents === undefined) return [{ offset, length, kind: "data" }]
    const request: Request = { need: "read", offset, length }
    const answer = await this.#ask(request, (volume) => volume.extents?.(offset, length, max))
    const fault = extentFault(answer, offset, length, max)
    if (fault !== undefined) this.#broke(`extents(${offset}, ${length}, ${max}): ${fault}`)
    return answer as ReadonlyArray<Extent>
  }

  async identity(): Promise<VolumeIdentity> {
    this.#judgeOpen()
    if (this.#volume.identity === undefined) return { sizeBytes: String(this.sizeBytes) }
    const answer = await this.#ask({ need: "read" }, (volume) => volume.identity?.())
    const fault = identityFault(answer)
    if (fault !== undefined) this.#broke(`identity: ${fault}`)
    return answer as VolumeIdentity
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  get isClosed(): boolean {
    return this.#closing !== undefined
  }

  async #close(): Promise<void> {
    await this.#asking.answered()
    const { size } = this.#asking.stuck
    if (size === 0) return this.#asking.ask({ need: "write" }, () => this.#volume.close())
    this.#asking.whenReleased(() => void letGo(this.#volume))
    const why = `the plugin ${this.#where.kind} still owes ${size === 1 ? "an answer" : `${size} answers`}; what it holds stays open until then`
    throw fail("IO_ERROR", { what: this.#where.path, why })
  }

  /** Asks the plugin for something slow, if the volume is still the same one. */
  #ask<A>(
    request: Request,
    ask: (volume: Volume, signal: AbortSignal) => A | Promise<A>,
    signal?: AbortSignal,
  ): Promise<A> {
    const asked = (end: AbortSignal) => {
      this.#judgeSize()
      return ask(this.#volume, end)
    }
    return this.#asking.ask(request, asked, { caller: signal })
  }

  #judgeSize(): void {
    const { sizeBytes } = this.#volume
    if (sizeBytes !== this.sizeBytes) this.#broke(`the volume was ${this.sizeBytes} bytes long and is now ${sizeBytes}`)
  }

  #judgeStuck(offset: number, length: number): void {
    for (const stuck of this.#asking.stuck) {
      if (stuck.need !== "write" || stuck.offset === undefined || stuck.length === undefined) continue
      if (stuck.offset < offset + length && offset < stuck.offset + stuck.length)
        throw fail("IO_ERROR", { offset, length, what: this.#where.path, why: this.#stuckWrite })
    }
  }

  get #stuckWrite(): string {
    return `the plugin ${this.#where.kind} has not answered an earlier write of the same bytes`
  }

  #judgeCount(part: string, answer: unknown, length: number): void {
    if (typeof answer !== "number" || answer === length) return
    this.#broke(`${part} answered ${answer}, but was asked for ${length} bytes: it must do all of them`)
  }

  #judge(offset: number, length: number): void {
    if (this.#closing !== undefined) this.#judgeOpen()
    if (offset >= 0 && length > 0 && offset + length <= this.sizeBytes && whole(offset) && whole(length)) return
    throw fail("OUT_OF_RANGE", { offset, length, sizeBytes: this.sizeBytes })
  }

  #judgeOpen(): void {
    if (this.#closing !== undefined) throw fail("CLOSED", { what: this.#where.path })
  }

  #notBoolean(part: string, answer: unknown): never {
    if (answer instanceof Promise) answer.catch(() => undefined)
    this.#broke(`${part} answered ${answer instanceof Promise ? "a promise" : typeof answer}, not true or false`)
  }

  #broke(why: string): never {
    throw fail("PLUGIN_BROKE_CONTRACT", { kind: this.#where.kind, why })
  }
}

const whole = Number.isSafeInteger

/** Two, so that bytes that happen to be like one are not like the other. */
const MARKS = [0xa5, 0x5a]

/** Closes what nobody waits for. Nobody is left to hear of an error. */
export const letGo = async (volume: Pick<Volume, "close">): Promise<void> => {
  try {
    await volume.close()
  } catch {}
}

const judgeBuffer = (buffer: Uint8Array, at: number, length: number): void => {
  if (at >= 0 && at + length <= buffer.length && whole(at)) return
  assert.fail(`a buffer of ${buffer.length} bytes cannot hold ${length} from ${at} on`)
}
