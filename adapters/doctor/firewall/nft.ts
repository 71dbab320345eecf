/**
 * What `nft -j list ruleset` prints, as chains (libnftables-json(5)). Rules that iptables made on nftables are in it too. Pure.
 *
 * **Details** Of tables of the families ip, inet and bridge's upper layers only ip and inet are looked at: PCs boot over IPv4. A named set counts with the elements that it
 * has now. An expression that is not known here makes its rule unknown, and so does one that looks at the PC's own address.
 */
import type { Chain, Judged, Match, Packet, Rule, Table, Verdict } from "./rules.ts"

type Json = Readonly<Record<string, unknown>>
type Sets = ReadonlyMap<string, ReadonlyArray<unknown>>

const families: ReadonlyArray<unknown> = ["ip", "inet"]

const objectsOf = (all: ReadonlyArray<Json>, kind: string): ReadonlyArray<Json> =>
  all.flatMap((one) => (kind in one ? [one[kind] as Json] : [])).filter(({ family }) => families.includes(family))

const keyOf = ({ family, table }: Json): string => `${family} ${table}`

/** @throws SyntaxError where it is not JSON */
export const nftTables = (text: string): ReadonlyArray<Table> => {
  const { nftables = [] } = JSON.parse(text) as { readonly nftables?: ReadonlyArray<Json> }
  const sets = new Map(
    [...objectsOf(nftables, "set"), ...objectsOf(nftables, "map")].map((set) => [
      `${keyOf(set)} ${set.name}`,
      (set.elem ?? []) as ReadonlyArray<unknown>,
    ]),
  )
  const rules = Map.groupBy(objectsOf(nftables, "rule"), (rule) => `${keyOf(rule)} ${rule.chain}`)
  const chains = Map.groupBy(objectsOf(nftables, "chain"), keyOf)
  return [...chains.values()].map((list) => list.map((chain) => chainOf(chain, rules, sets)))
}

const chainOf = (chain: Json, rules: ReadonlyMap<string, ReadonlyArray<Json>>, sets: Sets): Chain => ({
  name: String(chain.name),
  policy: chain.hook === "input" ? (chain.policy === "drop" ? "drop" : "accept") : undefined,
  rules: (rules.get(`${keyOf(chain)} ${chain.name}`) ?? []).map((rule) => ruleOf(rule, sets)),
})

const ruleOf = (rule: Json, sets: Sets): Rule => {
  const exprs = (rule.expr ?? []) as ReadonlyArray<Json>
  const named = (set: string) => sets.get(`${keyOf(rule)} ${set.slice(1)}`)
  return {
    matches: exprs.flatMap((expr) => matchOf(expr, named)),
    verdict: exprs.map(verdictOf).find(({ kind }) => kind !== "none") ?? { kind: "none" },
    text: `${rule.family} ${rule.table} ${rule.chain}: ${exprs.map(exprText).filter(Boolean).join(" ")}`,
  }
}

/** Statements that neither ask nor decide. */
const silent: ReadonlyArray<string> = ["counter", "log", "comment", "nflog", "mangle", "notrack", "set"]

const verdictOf = (expr: Json): Verdict => {
  if ("accept" in expr) return { kind: "accept" }
  if ("drop" in expr || "reject" in expr) return { kind: "drop" }
  if ("return" in expr) return { kind: "return" }
  for (const kind of ["jump", "goto"] as const)
    if (kind in expr) return { kind, to: String((expr[kind] as Json).target) }
  return { kind: "none" }
}

const unknown: Match = () => "unknown"

const matchOf = (expr: Json, named: (set: string) => ReadonlyArray<unknown> | undefined): ReadonlyArray<Match> => {
  if (!("match" in expr)) {
    const isKnown = verdictOf(expr).kind !== "none" || silent.some((word) => word in expr)
    return isKnown ? [] : [unknown]
  }
  const { op, left, right } = expr.match as { readonly op: string; readonly left: Json; readonly right: unknown }
  const value = ownOf(left)
  if (value === undefined || !["==", "!=", "in"].includes(op)) return [unknown]
  return [
    (packet) => {
      const own = value(packet)
      const holds = own === "any" ? "unknown" : contains(right, own, named)
      return op === "!=" && holds !== "unknown" ? !holds : holds
    },
  ]
}

type Own = string | number | "any" | "not there"

/** What the left side is in a PC's first packet; "any": it is not known. */
const ownOf = (left: Json): ((packet: Packet) => Own) | undefined => {
  const payload = left.payload as Json | undefined
  const key = ((left.meta ?? left.ct) as Json | undefined)?.key
  if (payload?.field === "dport")
    return ({ transport, port }) => (payload.protocol === transport || payload.protocol === "th" ? port : "not there")
  if (payload?.field === "protocol" && payload.protocol === "ip") return ({ transport }) => transport
  if (left.ct !== undefined && key === "state") return () => "new"
  if (key === "l4proto") return ({ transport }) => transport
  if (key === "nfproto") return () => "ipv4"
  if (key === "protocol") return () => "ip"
  if (key === "iifname" || key === "iif") return (packet) => packet.interface ?? "any"
  if (key === "pkttype") return () => "any"
  return undefined
}

const numbers: Readonly<Record<string, string>> = { "6": "tcp", "17": "udp" }

const contains = (right: unknown, own: Own, named: (set: string) => ReadonlyArray<unknown> | undefined): Judged => {
  if (own === "not there") return false
  if (Array.isArray(right)) return anyOf(right.map((one) => contains(one, own, named)))
  if (typeof right === "string" && right.startsWith("@")) {
    const elements = named(right)
    return elements === undefined ? "unknown" : contains(elements, own, named)
  }
  if (typeof right === "string" || typeof right === "number") return isSame(right, own)
  const { set, range, elem } = right as Json
  if (Array.isArray(set)) return contains(set, own, named)
  if (elem !== undefined) return contains((elem as Json).val, own, named)
  if (Array.isArray(range) && typeof own === "number") return own >= Number(range[0]) && own <= Number(range[1])
  return "unknown"
}

const isSame = (right: string | number, own: Own): boolean => {
  if (typeof right === "string" && right.endsWith("*") && typeof own === "string")
    return own.startsWith(right.slice(0, -1))
  return String(right) === String(own) || numbers[String(right)] === own
}

const anyOf = (judged: ReadonlyArray<Judged>): Judged =>
  judged.includes(true) ? true : judged.includes("unknown") ? "unknown" : false

const exprText = (expr: Json): string => {
  if ("match" in expr) {
    const { op, left, right } = expr.match as { readonly op: string; readonly left: Json; readonly right: unknown }
    const payload = left.payload as Json | undefined
    const key = ((left.meta ?? left.ct) as Json | undefined)?.key
    const what = payload === undefined ? (key ?? "?") : `${payload.protocol} ${payload.field}`
    return `${what} ${op === "==" || op === "in" ? "" : `${op} `}${valueText(right)}`
  }
  const { kind } = verdictOf(expr)
  if (kind === "jump" || kind === "goto") return `${kind} ${(expr[kind] as Json).target}`
  return "reject" in expr ? "reject" : kind === "none" ? "" : kind
}

const valueText = (value: unknown): string => {
  if (typeof value !== "object" || value === null) return String(value)
  if (Array.isArray(value)) return value.map(valueText).join(", ")
  const { set, range, prefix } = value as Json
  if (Array.isArray(set)) return `{ ${set.map(valueText).join(", ")} }`
  if (Array.isArray(range)) return range.map(valueText).join("-")
  if (prefix !== undefined) return `${(prefix as Json).addr}/${(prefix as Json).len}`
  return "…"
}
