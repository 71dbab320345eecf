/**
 * What `iptables-save` prints, as chains: for the older packet filter, whose rules nft does not show. Pure.
 *
 *     *filter
 *     :INPUT DROP [0:0]
 *     -A INPUT -i eth1 -p tcp -m tcp --dport 3260 -j ACCEPT
 *     -A INPUT -p udp -m multiport --dports 67,69,4011 -j ACCEPT
 *
 * **Details** iptables-extensions(8): of the matches, tcp, udp, multiport, state, conntrack and the interface are known, every other makes its rule unknown.
 */
import type { Chain, Judged, Match, Rule, Table, Verdict } from "./rules.ts"

export const iptablesTables = (text: string): ReadonlyArray<Table> =>
  text
    .split(/^\*/mu)
    .slice(1)
    .filter((part) => /^(filter|raw|mangle)\n/u.test(part))
    .map(tableOf)

/** INPUT is what comes to this machine; a raw or mangle table may drop it in PREROUTING already. */
const hooks: ReadonlyArray<string> = ["INPUT", "PREROUTING"]

const tableOf = (part: string): Table => {
  const lines = part.split("\n")
  const rules = Map.groupBy(
    lines.filter((line) => line.startsWith("-A ")),
    (line) => line.split(" ")[1]!,
  )
  return lines.flatMap((line): ReadonlyArray<Chain> => {
    const [, name, policy] = /^:(\S+) (\S+)/u.exec(line) ?? []
    if (name === undefined) return []
    const base = hooks.includes(name) ? (policy === "DROP" ? "drop" : "accept") : undefined
    return [{ name, policy: base, rules: (rules.get(name) ?? []).map(ruleOf) }]
  })
}

const targets: Readonly<Record<string, Verdict>> = {
  ACCEPT: { kind: "accept" },
  DROP: { kind: "drop" },
  REJECT: { kind: "drop" },
  RETURN: { kind: "return" },
}
/** Targets that let the packet go on. */
const passing: ReadonlyArray<string> = ["LOG", "NFLOG", "MARK", "CT", "TRACE", "CONNMARK", "TOS", "DSCP"]

const ruleOf = (line: string): Rule => {
  const words = wordsOf(line).slice(2)
  const matches: Array<Match> = []
  let verdict: Verdict = { kind: "none" }
  let not = false
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!
    if (word === "!") {
      not = true
      continue
    }
    if (word === "-j" || word === "-g") {
      const to = words[i + 1] ?? ""
      verdict = targets[to] ?? (passing.includes(to) ? verdict : { kind: word === "-j" ? "jump" : "goto", to })
      // What follows belongs to the target.
      break
    }
    const [match, took] = matchOf(word, words[i + 1] ?? "")
    i += took
    if (match !== undefined) matches.push(not ? (packet) => negated(match(packet)) : match)
    not = false
  }
  return { matches, verdict, text: line }
}

const negated = (judged: Judged): Judged => (judged === "unknown" ? judged : !judged)

/** The match of an option, and how many words it took; none for one that asks nothing. */
const matchOf = (option: string, value: string): readonly [Match | undefined, number] => {
  switch (option) {
    case "-p":
      return [({ transport }) => value === transport || value === "all", 1]
    case "-i":
      return [({ interface: name }) => (name === undefined ? "unknown" : isName(value, name)), 1]
    case "-m":
      return [
        ["tcp", "udp", "multiport", "state", "conntrack", "comment"].includes(value) ? undefined : () => "unknown",
        1,
      ]
    case "--comment":
      return [undefined, 1]
    case "--dport":
    case "--dports":
      return [({ port }) => value.split(",").some((part) => isIn(part, port)), 1]
    case "--state":
    case "--ctstate":
      return [() => value.split(",").includes("NEW"), 1]
    default:
      return [() => "unknown", value.startsWith("-") || value === "" ? 0 : 1]
  }
}

const isName = (pattern: string, name: string): boolean =>
  pattern.endsWith("+") ? name.startsWith(pattern.slice(0, -1)) : pattern === name

/** `1:1023` */
const isIn = (part: string, port: number): boolean => {
  const [from = "", to = from] = part.split(":")
  return port >= Number(from || 0) && port <= Number(to || 65_535)
}

const wordsOf = (line: string): ReadonlyArray<string> =>
  [...line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/gu)].map(([, quoted, bare]) => quoted ?? bare!)
