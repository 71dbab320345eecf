/**
 * What a packet filter does with the first packet of a PC: a model of its chains small enough for nft's and iptables' words both. Pure.
 *
 *     packet ─► every base chain at the hook `input`, each for itself ─► dropped by one is dropped
 *
 * **Details** A match is known to hold, known not to, or unknown: what a rule asks of a packet may be nothing that is known here (who the PC is, how many came
 * before). An unknown rule that drops may drop; one that accepts may let through what a later rule would drop. So the answer is one of three as well.
 */

export interface Packet {
  readonly transport: "tcp" | "udp"
  readonly port: number
  /** The interface it comes in by; undefined: any. */
  readonly interface: string | undefined
}

export type Judged = boolean | "unknown"
export type Match = (packet: Packet) => Judged

export type Verdict =
  | { readonly kind: "accept" | "drop" | "return" | "none" }
  | { readonly kind: "jump" | "goto"; readonly to: string }

export interface Rule {
  readonly matches: ReadonlyArray<Match>
  readonly verdict: Verdict
  /** As the operator reads it. */
  readonly text: string
}

export interface Chain {
  readonly name: string
  /** Of a base chain at `input`: what becomes of a packet that no rule decides. */
  readonly policy: "accept" | "drop" | undefined
  readonly rules: ReadonlyArray<Rule>
}

/** Chains of one table; names are its own. */
export type Table = ReadonlyArray<Chain>

export type Fate =
  | { readonly kind: "passes" }
  /** `maybe`: it depends on what is not known here. */
  | { readonly kind: "drops"; readonly maybe: boolean; readonly rule: string }

const DEPTH_MAX = 16

export const fateOf = (tables: ReadonlyArray<Table>, packet: Packet): Fate => {
  const fates = tables.flatMap((table) =>
    table.filter(({ policy }) => policy !== undefined).map((chain) => fateIn(table, chain, packet)),
  )
  const drops = fates.filter((fate) => fate.kind === "drops")
  return drops.find(({ maybe }) => !maybe) ?? drops[0] ?? { kind: "passes" }
}

const fateIn = (table: Table, chain: Chain, packet: Packet): Fate => {
  const walk = new Walk(table, packet)
  const ended = walk.chain(chain, 0)
  if (ended === undefined && chain.policy === "drop") walk.drop(`policy drop of chain ${chain.name}`)
  return walk.fate()
}

/** `true`: decided; undefined: the chain came to its end. */
type Ended = true | undefined

class Walk {
  readonly #table: Table
  readonly #packet: Packet
  /** It is not known whether the packet comes here. */
  #doubt = false
  /** Something before may have let it through. */
  #maybePassed = false
  #dropped: { readonly maybe: boolean; readonly rule: string } | undefined

  constructor(table: Table, packet: Packet) {
    this.#table = table
    this.#packet = packet
  }

  drop(rule: string): void {
    const maybe = this.#doubt || this.#maybePassed
    if (this.#dropped === undefined || (this.#dropped.maybe && !maybe)) this.#dropped = { maybe, rule }
  }

  fate(): Fate {
    return this.#dropped === undefined ? { kind: "passes" } : { kind: "drops", ...this.#dropped }
  }

  chain({ rules }: Chain, depth: number): Ended {
    for (const rule of rules) {
      const holds = all(rule.matches, this.#packet)
      if (holds === false) continue
      const before = this.#doubt
      this.#doubt ||= holds === "unknown"
      const ended = this.#apply(rule, depth)
      this.#doubt = before
      if (holds === "unknown" || ended === undefined) continue
      return ended === "return" ? undefined : true
    }
    return undefined
  }

  #apply({ verdict, text }: Rule, depth: number): Ended | "return" {
    switch (verdict.kind) {
      case "accept":
        this.#maybePassed ||= this.#doubt
        return true
      case "drop":
        this.drop(text)
        return true
      case "return":
        // Perhaps the rest of this chain is passed over.
        this.#maybePassed ||= this.#doubt
        return "return"
      case "jump":
      case "goto": {
        const to = this.#table.find(({ name }) => name === verdict.to)
        if (to === undefined || depth === DEPTH_MAX) return undefined
        const ended = this.chain(to, depth + 1)
        return ended === undefined && verdict.kind === "goto" ? "return" : ended
      }
      default:
        return undefined
    }
  }
}

const all = (matches: ReadonlyArray<Match>, packet: Packet): Judged => {
  let known: Judged = true
  for (const match of matches) {
    const holds = match(packet)
    if (holds === false) return false
    if (holds === "unknown") known = "unknown"
  }
  return known
}
