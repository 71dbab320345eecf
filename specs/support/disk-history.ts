/**
 * What a disk may hold: every sector as a register, with the writes to it and when each began and was acknowledged.
 *
 * A value may be seen if no write that was acknowledged began after that value's own write had ended. After a power loss only writes
 * that a finished flush covers count as acknowledged. This is linearizability of one register, which needs no search.
 */
export interface Change {
  readonly value: number
  readonly start: number
  /** When it was acknowledged, or when its process died and it could not happen later any more. */
  end: number
  acknowledged: boolean
  /** A flush that began after `end` has finished, or the write itself was FUA. */
  durable: boolean
}

const NEVER = Number.POSITIVE_INFINITY

export class DiskHistory {
  now = 0
  readonly #changes = new Map<number, Array<Change>>()
  readonly #initial: (sector: number) => number

  constructor(initial: (sector: number) => number) {
    this.#initial = initial
  }

  /** A change of some sectors begins; `finish` says that it was acknowledged, `fail` that it was not and cannot happen later. */
  begin(sectors: Iterable<number>, value: number): { finish(durable: boolean): void; fail(): void } {
    const start = ++this.now
    const begun: Array<Change> = []
    for (const sector of sectors) {
      const change: Change = { value, start, end: NEVER, acknowledged: false, durable: false }
      this.of(sector).push(change)
      begun.push(change)
    }
    return {
      finish: (durable) => {
        const end = ++this.now
        for (const change of begun) {
          change.end = end
          change.acknowledged = true
          change.durable = durable
        }
      },
      fail: () => {
        const end = ++this.now
        for (const change of begun) change.end = end
      },
    }
  }

  /** A flush that began at `start` has finished. */
  flushed(start: number): void {
    for (const list of this.#changes.values())
      for (const c of list) if (c.acknowledged && c.end <= start) c.durable = true
  }

  of(sector: number): Array<Change> {
    let list = this.#changes.get(sector)
    if (list === undefined) {
      list = [{ value: this.#initial(sector), start: -1, end: -1, acknowledged: true, durable: true }]
      this.#changes.set(sector, list)
    }
    return list
  }

  /** Values that a read which began at `from` may see, where `counts` says which changes are certain. */
  allowed(sector: number, from: number, counts: (c: Change) => boolean): Set<number> {
    const list = this.of(sector)
    const certain = list.filter((c) => counts(c) && c.end <= from)
    return new Set(list.filter((c) => !certain.some((y) => y.start > c.end)).map((c) => c.value))
  }

  /** The process died: nothing in flight can happen later any more. */
  died(): void {
    const now = ++this.now
    for (const list of this.#changes.values()) for (const c of list) if (c.end === NEVER) c.end = now
  }

  /** What a sector was seen to be after a crash; it is that from now on. */
  saw(sector: number, value: number, onDisk: boolean): void {
    const now = ++this.now
    const seen: Change = { value, start: now, end: now, acknowledged: true, durable: onDisk }
    if (onDisk) this.#changes.set(sector, [seen])
    else this.of(sector).push(seen)
  }
}

/** Which changes a power loss cannot undo, and which a dead process cannot. */
export const durable = (c: Change): boolean => c.durable
export const acknowledged = (c: Change): boolean => c.acknowledged
