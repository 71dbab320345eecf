/**
 * Persistent reservations of one logical unit, a pure state machine (SPC-4 §5.13).
 *
 * | type | name                                 | others may            | registrants may  | holder                |
 * | ---- | ------------------------------------ | --------------------- | ---------------- | --------------------- |
 * | 1    | write exclusive                      | read                  | read             | who reserved          |
 * | 3    | exclusive access                     | nothing               | nothing          | who reserved          |
 * | 5, 6 | …, registrants only                  | read / nothing        | read and write   | who reserved          |
 * | 7, 8 | …, all registrants                   | read / nothing        | read and write   | every registrant      |
 *
 * **Details** A registration belongs to an initiator port (name and ISID), so it lives on when its session ends and is found again by the next.
 * All of it belongs to one generation of the disk: a new boot begins with none. Keys are 64-bit numbers as bigint.
 * What a change does to others (unit attentions, aborted tasks) comes back as `Effects`; nothing here reaches out.
 */

export const WRITE_EXCLUSIVE = 1
export const EXCLUSIVE_ACCESS = 3
export const WRITE_EXCLUSIVE_REGISTRANTS = 5
export const EXCLUSIVE_ACCESS_REGISTRANTS = 6
export const WRITE_EXCLUSIVE_ALL = 7
export const EXCLUSIVE_ACCESS_ALL = 8

const types: ReadonlyArray<number> = [1, 3, 5, 6, 7, 8]
export const isReservationType = (type: number): boolean => types.includes(type)

export interface Held {
  /** Of the registrant that reserved; for "all registrants", whoever did so first. */
  readonly port: string
  readonly type: number
}

export interface Effects {
  /** Initiator ports and what they are to be told. */
  readonly preempted: ReadonlyArray<string>
  readonly released: ReadonlyArray<string>
  readonly cleared: ReadonlyArray<string>
  /** Whose tasks are to be aborted. */
  readonly abort: ReadonlyArray<string>
}

export type Outcome = "conflict" | "invalid-release" | "invalid-parameter" | Effects

const quiet: Effects = { preempted: [], released: [], cleared: [], abort: [] }

const isAll = (type: number): boolean => type === WRITE_EXCLUSIVE_ALL || type === EXCLUSIVE_ACCESS_ALL
const letsRegistrants = (type: number): boolean => type >= WRITE_EXCLUSIVE_REGISTRANTS
const letsReaders = (type: number): boolean =>
  type === WRITE_EXCLUSIVE || type === WRITE_EXCLUSIVE_REGISTRANTS || type === WRITE_EXCLUSIVE_ALL

export class Reservations {
  /** PRGENERATION (§6.16.2): counts changes of registrations, not of reservations. */
  generation = 0
  /** Initiator port to key. */
  readonly keys = new Map<string, bigint>()
  held: Held | undefined
  /** Survives a power loss, as the last registration asked for. */
  persists = false

  holds(port: string): boolean {
    const { held } = this
    if (held === undefined) return false
    return isAll(held.type) ? this.keys.has(port) : held.port === port
  }

  /** May this port not do that now (§5.13.1, table 66; SBC-3 §4.17)? */
  conflicts(port: string, writes: boolean): boolean {
    const { held } = this
    if (held === undefined || this.holds(port)) return false
    if (letsRegistrants(held.type) && this.keys.has(port)) return false
    return writes || !letsReaders(held.type)
  }

  /** REGISTER and REGISTER AND IGNORE EXISTING KEY (§5.13.7). */
  register(port: string, key: bigint, next: bigint, ignore: boolean): Outcome {
    const mine = this.keys.get(port)
    if (!ignore && key !== (mine ?? 0n)) return "conflict"
    if (mine === undefined && next === 0n) return quiet
    this.generation = (this.generation + 1) >>> 0
    if (next !== 0n) {
      this.keys.set(port, next)
      return quiet
    }
    return this.unregister(port)
  }

  /** RESERVE (§5.13.9). */
  reserve(port: string, key: bigint, type: number): Outcome {
    if (this.keys.get(port) !== key) return "conflict"
    if (this.held !== undefined) return this.holds(port) && this.held.type === type ? quiet : "conflict"
    this.held = { port, type }
    return quiet
  }

  /** RELEASE (§5.13.11.2). */
  release(port: string, key: bigint, type: number): Outcome {
    if (this.keys.get(port) !== key) return "conflict"
    if (this.held === undefined || !this.holds(port)) return quiet
    if (this.held.type !== type) return "invalid-release"
    return this.drop(port)
  }

  /** CLEAR (§5.13.11.5). */
  clear(port: string, key: bigint): Outcome {
    if (this.keys.get(port) !== key) return "conflict"
    const cleared = this.others(port)
    this.generation = (this.generation + 1) >>> 0
    this.keys.clear()
    this.held = undefined
    return { ...quiet, cleared }
  }

  /** PREEMPT and PREEMPT AND ABORT (§5.13.11.3, §5.13.11.4). */
  preempt(port: string, key: bigint, victim: bigint, type: number, abort: boolean): Outcome {
    if (this.keys.get(port) !== key) return "conflict"
    const { held } = this
    const all = held !== undefined && isAll(held.type)
    if (victim === 0n && !all) return "invalid-parameter"
    const takes = all ? victim === 0n : held !== undefined && this.keys.get(held.port) === victim
    const gone = this.others(port).filter((p) => (takes && all) || this.keys.get(p) === victim)
    if (gone.length === 0 && !takes && victim !== key) return "conflict"
    this.generation = (this.generation + 1) >>> 0
    for (const p of gone) this.keys.delete(p)
    const released: Array<string> = []
    if (takes) {
      if (held !== undefined && held.type !== type && letsRegistrants(held.type)) released.push(...this.others(port))
      this.held = { port, type }
    } else if (all && this.held !== undefined && !this.keys.has(this.held.port)) {
      this.held = { port, type: this.held.type }
    }
    return { ...quiet, preempted: gone, released, abort: abort ? gone : [] }
  }

  /** REGISTER AND MOVE (§5.13.8). */
  move(port: string, key: bigint, to: string, toKey: bigint, unregister: boolean): Outcome {
    if (this.keys.get(port) !== key) return "conflict"
    if (this.held === undefined || !this.holds(port) || isAll(this.held.type)) return "conflict"
    if (toKey === 0n || to === port) return "invalid-parameter"
    this.generation = (this.generation + 1) >>> 0
    this.keys.set(to, toKey)
    this.held = { port: to, type: this.held.type }
    if (unregister) this.keys.delete(port)
    return quiet
  }

  /** What `restore` takes. */
  toJSON(): string {
    const keys = [...this.keys].map(([port, key]) => [port, key.toString(16)])
    return JSON.stringify({ keys, held: this.held ?? null })
  }

  /** Takes up what was kept; what does not read as such is left alone. */
  restore(text: string): void {
    const kept = JSON.parse(text) as { readonly keys: ReadonlyArray<[string, string]>; readonly held: Held | null }
    for (const [port, key] of kept.keys) this.keys.set(port, BigInt(`0x${key}`))
    this.held = kept.held ?? undefined
    this.persists = true
  }

  private unregister(port: string): Outcome {
    const last = this.keys.size === 1
    const held = this.held
    this.keys.delete(port)
    if (held === undefined) return quiet
    if (isAll(held.type)) {
      if (last) this.held = undefined
      else if (held.port === port) this.held = { port: this.keys.keys().next().value!, type: held.type }
      return quiet
    }
    return held.port === port ? this.drop(port) : quiet
  }

  /** §5.13.11.2.2: the other registrants of a shared type are told that it is gone. */
  private drop(port: string): Effects {
    const shared = this.held !== undefined && letsRegistrants(this.held.type)
    this.held = undefined
    return shared ? { ...quiet, released: this.others(port) } : quiet
  }

  private others(port: string): ReadonlyArray<string> {
    return [...this.keys.keys()].filter((p) => p !== port)
  }
}
