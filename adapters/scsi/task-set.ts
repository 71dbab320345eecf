/**
 * In which order the tasks of one logical unit may be carried out (SAM-5 §8.6 to §8.8); all its initiators share one set (TST 0).
 *
 * | attribute     | begins when                                                                     |
 * | ------------- | ------------------------------------------------------------------------------- |
 * | HEAD OF QUEUE | at once                                                                         |
 * | ORDERED       | every task that came before it has ended, and none at the head of the queue is left |
 * | SIMPLE        | every ORDERED task that came before it has ended, and none at the head of the queue is left |
 *
 * **Details** A task belongs to the set from the moment it came, so an ORDERED one also waits for a write whose data is still on its way. Commands that
 * are answered in the turn they came in never enter: nothing can come between. They are answered so only while `isOrdered` does not hold.
 */

/** As iSCSI numbers them (RFC 7143 §11.3.1). Whatever is neither of these is carried out as SIMPLE. */
export const ORDERED = 2
export const HEAD_OF_QUEUE = 3

/** A task's place in the line. */
export interface Place {
  readonly set: TaskSet
  readonly attribute: number
  /** Carries it out, once it may; undefined while it does not want to, and after. */
  begin: (() => void) | undefined
}

export class TaskSet {
  /** In the order they came. */
  private readonly places = new Set<Place>()
  private readonly changed: () => void
  private heads = 0
  private ordered = 0
  private beginning = false

  /** `changed` is called when `isOrdered` may have. */
  constructor(changed: () => void) {
    this.changed = changed
  }

  /** A task is there that others have to wait for. */
  get isOrdered(): boolean {
    return this.heads + this.ordered > 0
  }

  enter(attribute: number): Place {
    const place: Place = { set: this, attribute, begin: undefined }
    this.places.add(place)
    this.count(attribute, 1)
    return place
  }

  /** Calls `begin`, now or when the task's turn comes. */
  take(place: Place, begin: () => void): void {
    place.begin = begin
    if (place.attribute === HEAD_OF_QUEUE) call(place)
    else this.goOn()
  }

  /** It has ended, or was aborted. Leaving twice is leaving once. */
  leave(place: Place): void {
    if (!this.places.delete(place)) return
    place.begin = undefined
    this.count(place.attribute, -1)
    this.goOn()
  }

  /** What begins may end at once, and let the next one begin: one after the other, not one within the other. */
  private goOn(): void {
    if (this.beginning) return
    this.beginning = true
    try {
      for (let place = this.next(); place !== undefined; place = this.next()) call(place)
    } finally {
      this.beginning = false
    }
  }

  /** The first that waits and need not. Behind an ORDERED one nothing may begin. */
  private next(): Place | undefined {
    if (this.heads > 0) return undefined
    let first = true
    for (const place of this.places) {
      const { attribute } = place
      if (place.begin !== undefined && (attribute !== ORDERED || first)) return place
      if (attribute === ORDERED) return undefined
      first = false
    }
    return undefined
  }

  private count(attribute: number, by: number): void {
    if (attribute !== ORDERED && attribute !== HEAD_OF_QUEUE) return
    if (attribute === ORDERED) this.ordered += by
    else this.heads += by
    this.changed()
  }
}

const call = (place: Place): void => {
  const { begin } = place
  place.begin = undefined
  begin?.()
}
