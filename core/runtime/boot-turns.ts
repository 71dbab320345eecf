/**
 * Whose turn it is at one client: any number of logins together, or one new boot alone.
 *
 * **Details** First come, first served: a new boot waits for the logins that are on their way, and those that come later wait for it.
 */
interface Turns {
  /** Those that came since `alone`, and wait for it. */
  shared: Array<Promise<void>>
  alone: Promise<void>
  /** How many have not ended. */
  taken: number
}

const settled = (work: Promise<unknown>): Promise<void> =>
  work.then(
    () => {},
    () => {},
  )

export class BootTurns {
  readonly #turns = new Map<string, Turns>()

  shared<A>(client: string, work: () => Promise<A>): Promise<A> {
    const turns = this.#of(client)
    const mine = turns.alone.then(work)
    turns.shared.push(this.#ended(client, turns, mine))
    return mine
  }

  alone<A>(client: string, work: () => Promise<A>): Promise<A> {
    const turns = this.#of(client)
    const mine = Promise.all([turns.alone, ...turns.shared]).then(work)
    turns.shared = []
    turns.alone = this.#ended(client, turns, mine)
    return mine
  }

  #of(client: string): Turns {
    const turns = this.#turns.get(client) ?? { shared: [], alone: Promise.resolve(), taken: 0 }
    this.#turns.set(client, turns)
    turns.taken++
    return turns
  }

  /** Clients that nobody waits for are forgotten. */
  #ended(client: string, turns: Turns, work: Promise<unknown>): Promise<void> {
    const ended = settled(work).then(() => {
      turns.shared = turns.shared.filter((other) => other !== ended)
      if (--turns.taken === 0) this.#turns.delete(client)
    })
    return ended
  }
}
