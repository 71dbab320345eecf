/**
 * Whether a packet filter of this machine drops what PCs send to the ports that are served.
 *
 * **Details** nft shows its own rules and those that iptables made on it; iptables-save is asked for the older filter beside it. Without both tools nothing is known, and
 * that is said. Filters of other kinds (eBPF, a provider's, a switch's) are seen from the client's side only.
 */
import { fail, type ImagelinkError } from "../../../core/errors.ts"
import type { Check } from "../check.ts"
import { type Exam, isLoopback, placeOf } from "../exam.ts"
import { type Found, failed, pass, skip, warn } from "../finding.ts"
import { iptablesTables } from "../firewall/iptables.ts"
import { nftTables } from "../firewall/nft.ts"
import { fateOf, type Packet, type Table } from "../firewall/rules.ts"
import { runTool } from "../system/tool.ts"

interface Open {
  readonly protocol: string
  readonly packet: Packet
}

export const firewall: Check = {
  name: "firewall",
  side: "server",
  async run(exam, signal) {
    const open = openPorts(exam)
    if (open.length === 0) return [skip("firewall", "nothing is served to the network")]
    const read = await tablesNow(signal)
    if (read === "no tool")
      return [skip("firewall", "neither nft nor iptables-save is installed: rules of others are not seen")]
    if ("code" in read) return [warn("firewall", read)]
    return open.map((one) => judge(one, read.tables))
  },
}

/** What PCs send to first; what the server answers from is its own choice. */
const openPorts = ({ config, running }: Exam): ReadonlyArray<Open> => {
  const { dhcp, address } = config
  const name = dhcp?.interface
  if (isLoopback(address) && running === undefined) return []
  const of = (
    protocol: string,
    transport: Packet["transport"],
    set: number | "off" | undefined,
  ): ReadonlyArray<Open> => {
    const listens = placeOf(running?.listeners[protocol])
    if (listens !== undefined && isLoopback(listens.address)) return []
    const port = listens?.port ?? (running === undefined ? set : undefined)
    return typeof port === "number" && port > 0 ? [{ protocol, packet: { transport, port, interface: name } }] : []
  }
  return [
    ...of("dhcp", "udp", dhcp?.port),
    ...of("dhcp-proxy", "udp", dhcp?.proxyPort),
    ...of("tftp", "udp", config.tftpPort),
    ...of("http", "tcp", config.httpPort),
    ...of("iscsi", "tcp", config.iscsiPort),
    ...of("nbd", "tcp", config.nbdPort),
  ]
}

const judge = ({ protocol, packet }: Open, tables: ReadonlyArray<Table>): Found => {
  const at = `${packet.transport} port ${packet.port}`
  const subject = `${protocol} ${packet.port}/${packet.transport}`
  const fate = fateOf(tables, packet)
  if (fate.kind === "passes") return pass(subject, "no rule drops it")
  const error = { protocol, at, rule: fate.rule }
  return fate.maybe ? warn(subject, fail("FIREWALL_UNCLEAR", error)) : failed(subject, fail("FIREWALL_DROPS", error))
}

const tablesNow = async (
  signal: AbortSignal,
): Promise<{ readonly tables: ReadonlyArray<Table> } | ImagelinkError | "no tool"> => {
  const [nft, save] = await Promise.all([
    runTool("nft", ["-j", "list", "ruleset"], signal),
    runTool("iptables-legacy-save", [], signal).then((said) =>
      said.missing ? runTool("iptables-save", [], signal) : said,
    ),
  ])
  if (nft.missing && save.missing) return "no tool"
  const refused = [nft, save].find(({ missing, ok }) => !missing && !ok)
  if (refused !== undefined) return fail("FIREWALL_UNREADABLE", { why: refused.stderr.split("\n")[0]! })
  // Those that iptables made on nftables are among nft's own.
  const older = save.ok && !(nft.ok && save.stdout.includes("(nf_tables)")) ? iptablesTables(save.stdout) : []
  return { tables: [...(nft.ok ? nftTables(nft.stdout || "{}") : []), ...older] }
}
