/** What becomes of a PC's first packet, by rules as nft and iptables print them. */
import { describe, expect, it } from "vitest"
import { iptablesTables } from "../../adapters/doctor/firewall/iptables.ts"
import { nftTables } from "../../adapters/doctor/firewall/nft.ts"
import { fateOf, type Packet, type Table } from "../../adapters/doctor/firewall/rules.ts"

const iscsi: Packet = { transport: "tcp", port: 3260, interface: "eth1" }
const tftp: Packet = { transport: "udp", port: 69, interface: "eth1" }

const fate = (tables: ReadonlyArray<Table>, packet: Packet): string => {
  const end = fateOf(tables, packet)
  return end.kind === "passes" ? "passes" : `${end.maybe ? "may drop" : "drops"}: ${end.rule}`
}

const match = (left: object, right: unknown, op = "==") => ({ match: { op, left, right } })
const dport = (right: unknown, protocol = "tcp", op = "==") =>
  match({ payload: { protocol, field: "dport" } }, right, op)
const iif = (right: unknown, op = "==") => match({ meta: { key: "iifname" } }, right, op)
const from = match({ payload: { protocol: "ip", field: "saddr" } }, { prefix: { addr: "10.0.0.0", len: 8 } })
const established = match({ ct: { key: "state" } }, { set: ["established", "related"] }, "in")
const [accept, drop, reject, counter] = [{ accept: null }, { drop: null }, { reject: {} }, { counter: {} }]

/** A table with a base chain at `input` and other chains, as `nft -j list ruleset` has it. */
const nft = (
  rules: ReadonlyArray<ReadonlyArray<object>>,
  { policy = "accept", chains = {}, sets = [], family = "inet", hook = "input" }: NftMore = {},
): ReadonlyArray<Table> => {
  const table = { family, table: "t" }
  const all = { in: rules, ...chains }
  const objects = [
    { metainfo: { version: "1.0.6" } },
    { table: { family, name: "t" } },
    ...sets.map((set) => ({ set: { ...table, ...set } })),
    ...Object.keys(all).map((name) => ({ chain: { ...table, name, ...(name === "in" ? { hook, policy } : {}) } })),
    ...Object.entries(all).flatMap(([chain, list]) => list.map((expr) => ({ rule: { ...table, chain, expr } }))),
  ]
  return nftTables(JSON.stringify({ nftables: objects }))
}
interface NftMore {
  readonly policy?: string
  readonly chains?: Readonly<Record<string, ReadonlyArray<ReadonlyArray<object>>>>
  readonly sets?: ReadonlyArray<object>
  readonly family?: string
  readonly hook?: string
}

describe("by nft's rules, a packet", () => {
  it("passes where there are none", () => {
    expect(fate(nftTables("{}"), iscsi)).toBe("passes")
    expect(fate(nft([]), iscsi)).toBe("passes")
  })

  it("is dropped by the rule for its port, by a range, a set, a named set and a rule for all", () => {
    expect(fate(nft([[dport(3260), counter, drop]]), iscsi)).toBe("drops: inet t in: tcp dport 3260 drop")
    expect(fate(nft([[dport({ range: [3260, 3261] }), reject]]), iscsi)).toBe(
      "drops: inet t in: tcp dport 3260-3261 reject",
    )
    expect(fate(nft([[dport({ set: [80, { range: [3000, 4000] }] }), drop]]), iscsi)).toContain("drops")
    const sets = [{ name: "closed", elem: [{ elem: { val: 3260 } }, 69] }]
    expect(fate(nft([[dport("@closed"), drop]], { sets }), iscsi)).toContain("drops")
    expect(fate(nft([[drop]]), tftp)).toBe("drops: inet t in: drop")
  })

  it("is not dropped by a rule for the port beside it, another protocol, another interface or an older connection", () => {
    const others = [dport({ range: [3261, 65_535] }), dport(3260, "udp"), iif("eth0"), iif("eth1", "!="), established]
    expect(fate(nft(others.map((other) => [other, drop])), iscsi)).toBe("passes")
    expect(fate(nft([[dport(69, "th"), drop]]), tftp)).toContain("drops")
    expect(fate(nft([[iif("eth*"), dport(69, "udp"), drop]]), tftp)).toContain("drops")
  })

  it("is dropped by the policy, unless a rule lets it in before", () => {
    const policy = { policy: "drop" }
    expect(fate(nft([[established, accept]], policy), iscsi)).toBe("drops: policy drop of chain in")
    expect(fate(nft([[iif("eth1"), dport(3260), accept]], policy), iscsi)).toBe("passes")
    expect(fate(nft([[dport(3260), accept], [drop]]), iscsi)).toBe("passes")
    expect(fate(nft([[drop], [dport(3260), accept]]), iscsi)).toContain("drops")
  })

  it("goes where a chain sends it, and back again", () => {
    const chains = {
      lab: [
        [dport(69, "udp"), { return: null }],
        [dport({ range: [1, 1023] }, "th"), drop],
      ],
    }
    expect(fate(nft([[iif("eth1"), { jump: { target: "lab" } }]], { chains }), tftp)).toBe("passes")
    expect(fate(nft([[{ jump: { target: "lab" } }], [drop]], { chains }), tftp)).toBe("drops: inet t in: drop")
    expect(fate(nft([[{ goto: { target: "lab" } }], [drop]], { chains }), tftp)).toBe("passes")
    expect(fate(nft([[{ goto: { target: "lab" } }]], { chains, policy: "drop" }), tftp)).toContain("policy drop")
    const ring = { a: [[{ jump: { target: "a" } }]] }
    expect(fate(nft([[{ jump: { target: "a" } }]], { chains: ring }), tftp)).toBe("passes")
  })

  it("may be dropped where it depends on who sends it, and is where all roads end there", () => {
    expect(fate(nft([[from, dport(3260), drop]]), iscsi)).toMatch(/^may drop: .*saddr 10\.0\.0\.0\/8/)
    expect(fate(nft([[from, accept]], { policy: "drop" }), iscsi)).toBe("may drop: policy drop of chain in")
    expect(fate(nft([[from, drop], [drop]]), iscsi)).toBe("drops: inet t in: drop")
    expect(
      fate(
        nft([
          [{ limit: { rate: 10 } }, accept],
          [dport(3260), drop],
        ]),
        iscsi,
      ),
    ).toMatch(/^may drop/)
    expect(
      fate(
        nft([
          [from, drop],
          [dport(3260), accept],
        ]),
        iscsi,
      ),
    ).toMatch(/^may drop/)
  })

  it("is judged by every base chain at input, of IPv4, and by no other hook", () => {
    expect(fate([...nft([[accept]]), ...nft([[dport(3260), drop]], { family: "ip" })], iscsi)).toContain("drops: ip t")
    expect(fate(nft([[drop]], { hook: "forward" }), iscsi)).toBe("passes")
    expect(fate(nft([[drop]], { family: "ip6" }), iscsi)).toBe("passes")
  })
})

describe("by iptables' rules, a packet", () => {
  const tables = (rules: string, policy = "ACCEPT") =>
    iptablesTables(`# Generated by iptables-save\n*filter\n:INPUT ${policy} [0:0]\n:LAB - [0:0]\n${rules}\nCOMMIT\n`)

  it.each([
    ["", "ACCEPT", "passes"],
    ["", "DROP", "drops: policy drop of chain INPUT"],
    ["-A INPUT -p tcp -m tcp --dport 3260 -j DROP", "ACCEPT", "drops: -A INPUT -p tcp -m tcp --dport 3260 -j DROP"],
    ["-A INPUT -p tcp -m tcp --dport 3261 -j DROP", "ACCEPT", "passes"],
    ["-A INPUT -p udp -m udp --dport 3260 -j DROP", "ACCEPT", "passes"],
    ["-A INPUT -i eth1 -p tcp -m multiport --dports 80,3000:4000 -j ACCEPT", "DROP", "passes"],
    ["-A INPUT ! -i eth1 -j DROP", "ACCEPT", "passes"],
    ["-A INPUT -i eth+ -j REJECT --reject-with icmp-port-unreachable", "ACCEPT", "drops: "],
    ["-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "DROP", "drops: policy"],
    ["-A INPUT -m state --state NEW -j ACCEPT", "DROP", "passes"],
    ["-A INPUT -s 10.0.0.0/8 -j DROP", "ACCEPT", "may drop: "],
    ["-A INPUT -s 10.0.0.0/8 -j ACCEPT", "DROP", "may drop: policy"],
    ["-A INPUT -j LAB\n-A LAB -p tcp -j DROP", "ACCEPT", "drops: -A LAB -p tcp -j DROP"],
    ['-A INPUT -m comment --comment "the lab\'s -j DROP" -j ACCEPT', "DROP", "passes"],
    ['-A INPUT -j LOG --log-prefix "x "\n-A INPUT -j ACCEPT', "DROP", "passes"],
  ])("%s, policy %s: %s", (rules, policy, expected) => {
    expect(fate(tables(rules, policy), iscsi)).toContain(expected)
  })

  it("is not judged by translation", () => {
    expect(fate(iptablesTables("*nat\n:PREROUTING DROP [0:0]\nCOMMIT\n"), iscsi)).toBe("passes")
    expect(fate(iptablesTables("*raw\n:PREROUTING DROP [0:0]\nCOMMIT\n"), iscsi)).toContain("drops")
  })
})
