/**
 * Each port that is served, or would be: free, held by our own running server, or by whom.
 *
 * **Details** A DHCP server of another network of this machine (libvirt's, a container's) has port 67 too, kept to its own interface, and both get on. So where it
 * lets ours in beside it, that is said and is no failure; whether it answers on our network, the check `dhcp` hears.
 */
import { fail } from "../../../core/errors.ts"
import { bindDatagram, closeDatagram } from "../../../core/runtime/datagram-socket.ts"
import type { Check } from "../check.ts"
import { type Exam, placeOf, placeText } from "../exam.ts"
import { type Found, failed, pass, skip, warn } from "../finding.ts"
import { readText } from "../system/proc.ts"
import { collides, type HeldSocket, type Holder, holders, readSockets } from "../system/sockets.ts"

interface Wanted {
  readonly protocol: string
  readonly transport: HeldSocket["transport"]
  readonly address: string
  /** Off: the port that it has by custom is looked at all the same. */
  readonly port: number | "off"
  readonly custom: number
  /** The setting that names it. */
  readonly key: string
}

const wantedOf = ({ address, ...config }: Exam["config"]): ReadonlyArray<Wanted> => {
  const dhcp = config.dhcp
  // Broadcasts are heard on all addresses.
  const heard = dhcp === undefined || dhcp.interface === "lo" ? address : "0.0.0.0"
  const [tcp, udp] = ["tcp", "udp"] as const
  return [
    { protocol: "dhcp", transport: udp, address: heard, port: dhcp?.port ?? "off", custom: 67, key: "dhcp" },
    { protocol: "dhcp-proxy", transport: udp, address, port: dhcp?.proxyPort ?? "off", custom: 4011, key: "dhcp" },
    { protocol: "tftp", transport: udp, address, port: config.tftpPort, custom: 69, key: "tftp-port" },
    { protocol: "http", transport: tcp, address, port: config.httpPort, custom: 80, key: "http-port" },
    { protocol: "iscsi", transport: tcp, address, port: config.iscsiPort, custom: 3260, key: "iscsi-port" },
    { protocol: "nbd", transport: tcp, address, port: config.nbdPort, custom: 10_809, key: "nbd-port" },
    {
      protocol: "api",
      transport: tcp,
      address: config.apiAddress,
      port: config.apiPort,
      custom: 8443,
      key: "api-port",
    },
  ]
}

export const ports: Check = {
  name: "ports",
  side: "server",
  async run(exam) {
    const sockets = readSockets()
    if (readText("/proc/net/tcp") === undefined)
      return [skip("ports", "this system has no /proc/net to look them up in")]
    const wanted = wantedOf(exam.config)
    const numbers = new Set(
      wanted.flatMap((w) => [w.port, w.custom, placeOf(exam.running?.listeners[w.protocol])?.port]),
    )
    const near = sockets.filter(({ port }) => numbers.has(port))
    const owners = holders(new Set(near.map(({ inode }) => inode)))
    return Promise.all(wanted.map((w) => judge(exam, w, near, owners)))
  },
}

const judge = async (
  exam: Exam,
  wanted: Wanted,
  sockets: ReadonlyArray<HeldSocket>,
  owners: ReadonlyMap<string, Holder>,
): Promise<Found> => {
  const { protocol, transport, key } = wanted
  const { running, said, config } = exam
  const listens = placeOf(running?.listeners[protocol])
  if (listens !== undefined) {
    const process = running?.pid === undefined ? "" : ` (process ${running.pid})`
    return pass(`${protocol} ${placeText(listens)}/${transport}`, `our own running server has it${process}`)
  }
  const port = wanted.port === "off" ? wanted.custom : wanted.port
  const subject = `${protocol} ${placeText({ address: wanted.address, port })}/${transport}`
  if (wanted.port === 0) return pass(`${protocol} any/${transport}`, "any free port will do")
  const held = sockets.filter(
    (s) => s.transport === transport && s.port === port && collides(s.address, wanted.address),
  )
  const owner = held[0] === undefined ? undefined : owners.get(held[0].inode)
  if (owner !== undefined && owner.pid === exam.holder)
    return pass(subject, `the server on this data folder has it (process ${owner.pid})`)
  if (held[0] !== undefined && owner === undefined && exam.runningError !== undefined)
    return skip(subject, "held, perhaps by the server on this data folder, which cannot be asked")
  const holder = held[0] === undefined ? undefined : holderText(held[0], owner)
  if (wanted.port === "off")
    return skip(
      subject,
      holder === undefined ? "off in the settings; the port is free" : `off in the settings; ${holder} has it`,
    )
  if (holder !== undefined && key === "dhcp" && (await isShared(wanted.address, port)))
    return pass(subject, `${holder} has it too, and lets ours in beside it`)
  if (holder !== undefined)
    return failed(subject, fail("PORT_HELD", { protocol, at: placeText({ address: wanted.address, port }), holder }))
  if (running !== undefined && !said.has(key)) return skip(subject, "the running server was told not to serve it")
  if (running !== undefined) return warn(subject, fail("NOT_SERVED", { protocol, port: String(port) }))
  if (isPrivileged(port))
    return warn(
      subject,
      fail("PORT_PRIVILEGED", {
        protocol,
        at: placeText({ address: config.address, port }),
        user: exam.host.userName?.() ?? "this user",
      }),
    )
  return pass(subject, "free")
}

const isShared = (address: string, port: number): Promise<boolean> =>
  bindDatagram({ protocol: "dhcp", address, port, shared: true }).then(
    (socket) => closeDatagram(socket).then(() => true),
    () => false,
  )

const holderText = ({ address }: HeldSocket, owner: Holder | undefined): string => {
  return owner === undefined
    ? `a program of another user (at ${address}; run doctor as root to see which)`
    : `${owner.name} (process ${owner.pid}, at ${address})`
}

/** CAP_NET_BIND_SERVICE (capabilities(7)) is bit 10 of what is in force. */
const isPrivileged = (port: number): boolean => {
  const first = Number(readText("/proc/sys/net/ipv4/ip_unprivileged_port_start")?.trim() || 1024)
  const [, mask = "0"] = /^CapEff:\s*([0-9a-f]+)$/mu.exec(readText("/proc/self/status") ?? "") ?? []
  return port < first && (BigInt(`0x${mask}`) & (1n << 10n)) === 0n
}
