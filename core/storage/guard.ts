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
 * **Gotchas** An abort never settles a request early: the plugin still owns the buffer until it answers. The guard cannot see
 * wrong bytes; that is what checksums above it and the conformance suite are for.
 */
import assert from "node:assert"
import type { Extent } from "../block/device.ts"
import { fail } from "../errors.ts"
import { contain, type Request, type Where } from "./contain.ts"
import { extentFault, identityFault, volumeFault } from "./judge.ts"
import type { Volume, VolumeIdentity } from "./volume.ts"

export type Support = "none" | "emulated" | "native"
export type OptionalPart = Exclude<keyof Volume, "sizeBytes" | "read" | "close">

/** A volume with every part present. Its `close` waits for requests in flight, and a second close is the first. */
export interface GuardedVolume extends Required<Volume> {
  /** What the plugin brought itself, what the guard stands in for, and what is not to be had. */
  readonly support: Readonly<Record<OptionalPart, Support>>
}

/** Puts the guard around what a plugin opened. @throws PLUGIN_BROKE_CONTRACT when it is not a volume at all */
export const guardVolume = (volume: Volume, where: Where): GuardedVolume => {
  const fault = volumeFault(volume)
  if (fault !== undefined) throw fail("PLUGIN_BROKE_CONTRACT", { kind: where.kind, why: fault })
  return new Guarded(volume, where)
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
  #inFlight = 0
  #closing: Promise<void> | undefined
  #idle: (() => void) | undefined

  constructor(volume: Volume, where: Where) {
    this.sizeBytes = volume.sizeBytes
    this.support = supportOf(volume)
    this.#volume = volume
    this.#where = where
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
    await this.#ask({ need: "read", offset, length }, (volume) => volume.read(into, at, offset, length, signal), signal)
  }

  writeSync(from: Uint8Array, at: number, offset: number, length: number): boolean {
    this.#judge(offset, length)
    judgeBuffer(from, at, length)
    if (this.#volume.writeSync === undefined) return false
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
    await this.#ask(
      { need: "write", offset, length },
      (volume) => volume.write?.(from, at, offset, length, signal),
      signal,
    )
  }

  async flush(): Promise<void> {
    this.#judgeOpen()
    await this.#ask({ need: "write" }, (volume) => volume.flush?.())
  }

  async punch(offset: number, length: number): Promise<boolean> {
    this.#judge(offset, length)
    if (this.#volume.punch === undefined) return false
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

  async #close(): Promise<void> {
    if (this.#inFlight > 0) await new Promise<void>((resolve) => (this.#idle = resolve))
    try {
      await this.#volume.close()
    } catch (thrown) {
      throw contain(thrown, this.#where)
    }
  }

  /** Asks the plugin for something slow: counted, so that close can wait for it, and contained. */
  async #ask<A>(request: Request, ask: (volume: Volume) => A, signal?: AbortSignal): Promise<Awaited<A>> {
    if (signal?.aborted) throw fail("CANCELLED", { what: `a ${request.need} of ${this.#where.path}` })
    this.#inFlight += 1
    try {
      return await ask(this.#volume)
    } catch (thrown) {
      throw contain(thrown, this.#where, request)
    } finally {
      this.#inFlight -= 1
      if (this.#inFlight === 0) this.#idle?.()
    }
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

const judgeBuffer = (buffer: Uint8Array, at: number, length: number): void => {
  if (at >= 0 && at + length <= buffer.length && whole(at)) return
  assert.fail(`a buffer of ${buffer.length} bytes cannot hold ${length} from ${at} on`)
}
