/**
 * Who listens where: the kernel's tables of sockets, and the processes that have them open.
 *
 *     /proc/net/tcp   sl  local_address rem_address   st tx_queue:rx_queue tr:tm->when retrnsmt   uid  timeout inode
 *                      0: 0100007F:0CBC 00000000:0000 0A …                                          0        0 31337
 *
 * **Details** proc_net(5). Addresses are 32-bit words in the machine's own order, ports are in hexadecimal; 0A is LISTEN. UDP has no such state: what is bound and has
 * no peer hears. Whose a socket is, is a link `socket:[inode]` in /proc/PID/fd, which only root sees of other users' processes. Pure but for `readSockets` and `holderOf`.
 */
import { endianness } from "node:os"
import { linkOf, namesIn, readText } from "./proc.ts"

export interface HeldSocket {
  readonly transport: "tcp" | "udp"
  readonly address: string
  readonly port: number
  readonly inode: string
}

const LISTEN = "0A"

export const socketsIn = (transport: HeldSocket["transport"], text: string): ReadonlyArray<HeldSocket> =>
  text
    .split("\n")
    .slice(1)
    .flatMap((line) => {
      const [, local = "", remote = "", state, , , , , , inode = "0"] = line.trim().split(/\s+/u)
      const [address = "", port = ""] = local.split(":")
      const hears = transport === "tcp" ? state === LISTEN : /^0+:0000$/u.test(remote)
      return hears ? [{ transport, address: addressOf(address), port: Number.parseInt(port, 16), inode }] : []
    })

const bytesOf = (hex: string): Buffer => {
  const bytes = Buffer.from(hex, "hex")
  return endianness() === "LE" ? bytes.swap32() : bytes
}

const addressOf = (hex: string): string => {
  const bytes = bytesOf(hex)
  if (bytes.length === 4) return bytes.join(".")
  if (bytes.every((b) => b === 0)) return "::"
  if (bytes.subarray(0, 12).equals(Buffer.from("00000000000000000000ffff", "hex"))) return bytes.subarray(12).join(".")
  if (bytes.subarray(0, 15).every((b) => b === 0) && bytes[15] === 1) return "::1"
  return bytes
    .toString("hex")
    .match(/.{4}/gu)!
    .map((group) => group.replace(/^0{1,3}/u, ""))
    .join(":")
}

export const readSockets = (): ReadonlyArray<HeldSocket> =>
  (["tcp", "udp"] as const).flatMap((transport) =>
    ["", "6"].flatMap((family) => socketsIn(transport, readText(`/proc/net/${transport}${family}`) ?? "")),
  )

/** Whether one who hears at `held` is in the way of one who wants to hear at `wanted`. */
export const collides = (held: string, wanted: string): boolean =>
  held === wanted || held === "0.0.0.0" || held === "::" || wanted === "0.0.0.0" || wanted === "::"

export interface Holder {
  readonly pid: number
  readonly name: string
}

/** The processes that have sockets open, by inode; those that this user may see. */
export const holders = (inodes: ReadonlySet<string>): ReadonlyMap<string, Holder> => {
  const found = new Map<string, Holder>()
  for (const pid of namesIn("/proc")) {
    if (!/^\d+$/u.test(pid)) continue
    for (const fd of namesIn(`/proc/${pid}/fd`)) {
      const [, inode = ""] = /^socket:\[(\d+)\]$/u.exec(linkOf(`/proc/${pid}/fd/${fd}`) ?? "") ?? []
      if (inodes.has(inode) && !found.has(inode))
        found.set(inode, { pid: Number(pid), name: readText(`/proc/${pid}/comm`)?.trim() ?? "a process" })
    }
  }
  return found
}
