/**
 * A first-come, first-served lock on ranges of bytes.
 *
 * A request is granted when it overlaps nothing that came before it, granted or still waiting: nobody starves, and requests on
 * different ranges do not see each other. It carries COMPARE AND WRITE (SBC-3 §5.2), and orders the asynchronous changes of an
 * overlay's grains.
 *
 * **Details** The list is searched from its start. It is as long as there are holders and waiters, a handful in practice; `count`
 * is a plain property so that a synchronous path learns with one read that there are none.
 */
import { fail } from "../errors.ts"
import type { Unlock } from "./device.ts"

interface Entry {
  readonly from: number
  readonly to: number
  granted: boolean
  grant: (() => void) | undefined
}

export class RangeLock {
  /** Holders and waiters together. */
  count = 0
  readonly #entries: Array<Entry> = []

  /** True when `[offset, offset + length)` is free of holders and waiters. */
  isFree(offset: number, length: number): boolean {
    return this.count === 0 || !this.#overlaps(offset, offset + length, this.#entries.length)
  }

  /** @throws CANCELLED when `signal` aborts before the range is granted. */
  lock(offset: number, length: number, signal?: AbortSignal): Promise<Unlock> {
    if (signal?.aborted) return Promise.reject(fail("CANCELLED", { what: "waiting for a range" }))
    const entry: Entry = { from: offset, to: offset + length, granted: false, grant: undefined }
    entry.granted = !this.#overlaps(entry.from, entry.to, this.#entries.length)
    this.#entries.push(entry)
    this.count++
    if (entry.granted) return Promise.resolve(this.#unlocker(entry))
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.#remove(entry)
        reject(fail("CANCELLED", { what: "waiting for a range" }))
      }
      entry.grant = () => {
        signal?.removeEventListener("abort", abort)
        resolve(this.#unlocker(entry))
      }
      signal?.addEventListener("abort", abort, { once: true })
    })
  }

  #unlocker(entry: Entry): Unlock {
    let held = true
    return () => {
      if (!held) return
      held = false
      this.#remove(entry)
    }
  }

  #remove(entry: Entry): void {
    this.#entries.splice(this.#entries.indexOf(entry), 1)
    this.count--
    for (let i = 0; i < this.#entries.length; i++) {
      const waiting = this.#entries[i]!
      if (waiting.granted || this.#overlaps(waiting.from, waiting.to, i)) continue
      waiting.granted = true
      waiting.grant!()
    }
  }

  /** Does any of the first `before` entries overlap? */
  #overlaps(from: number, to: number, before: number): boolean {
    for (let i = 0; i < before; i++) {
      const entry = this.#entries[i]!
      if (entry.from < to && from < entry.to) return true
    }
    return false
  }
}
