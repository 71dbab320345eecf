/**
 * DHCP for simulated PCs, through a relay agent of their own: one socket, any number of clients, no privileges.
 *
 *     PC-001 ─┐                    giaddr = the relay
 *     PC-002 ─┼─► relay ─► server  option 82, sub-option 19: answer to the port this came from (RFC 8357)
 *     …      ─┘
 *
 * **When to use** In the demo and in specs: a whole exchange on loopback, with the bytes that firmware sends.
 *
 * **Details** DISCOVER, OFFER, REQUEST, ACK (RFC 2131 §3.1); what is not answered is sent again after twice as long each time. Answers are told apart by
 * their transaction id.
 */
import { createSocket, type Socket } from "node:dgram"
import { addressText, parseAddress } from "./address.ts"
import { BOOTREPLY, BOOTREQUEST, type DhcpMessage, decode, encode } from "./message.ts"
import { encapsulated, MESSAGE_TYPE, OPTION, readAddress, readText, text, u8, u16, u32 } from "./options.ts"

export interface DhcpGiven {
  readonly address: string
  /** Where files come from. */
  readonly server: string
  /** A path, or iPXE's URL. */
  readonly file: string
}

export interface DhcpRelay {
  /** An address for the machine with this MAC, and what it shall boot. @throws Error after the last try */
  obtain(mac: string, as: keyof typeof asks): Promise<DhcpGiven>
  close(): Promise<void>
}

export interface DhcpRelayOptions {
  readonly server: { readonly address: string; readonly port: number }
  /** One of this machine's addresses, in a subnet that the server serves. */
  readonly address: string
  readonly patienceMillis?: number
  readonly triesMax?: number
}

const uefi = [
  [OPTION.vendorClass, text("PXEClient:Arch:00007:UNDI:003016")],
  [OPTION.architecture, u16(7)],
] as const

/** What a UEFI firmware sends, and the iPXE that it loads. */
const asks = {
  firmware: uefi,
  ipxe: [...uefi, [OPTION.userClass, text("iPXE")], [OPTION.ipxe, encapsulated([[19, u8(1)]])]],
} as const

/** RFC 8357 §4: sub-option 19, without a value on its way to the server. */
const relayOption = Uint8Array.of(19, 0)

const XIDS = 2 ** 32

export const relayDhcp = async (options: DhcpRelayOptions): Promise<DhcpRelay> => {
  const { server, address, patienceMillis = 1000, triesMax = 4 } = options
  const giaddr = parseAddress(address)!
  const waiting = new Map<number, (answer: DhcpMessage) => void>()
  const socket = await bound(address)
  let lastXid = Math.floor(performance.now() * 1000) % XIDS
  socket.on("message", (bytes) => {
    const decoded = decode(bytes)
    if (decoded.ok && decoded.message.op === BOOTREPLY) waiting.get(decoded.message.xid)?.(decoded.message)
  })

  const exchange = (mac: string, asked: ReadonlyArray<readonly [number, Uint8Array]>): Promise<DhcpMessage> =>
    new Promise((resolve, reject) => {
      lastXid = (lastXid + 1) % XIDS
      const xid = lastXid
      const bytes = encode(messageOf(mac, xid, giaddr, asked))
      let tries = 0
      let timer: NodeJS.Timeout | undefined
      const end = () => {
        clearTimeout(timer)
        waiting.delete(xid)
      }
      const send = () => {
        if (tries++ === triesMax) {
          end()
          reject(new Error(`no answer of DHCP from ${server.address}:${server.port} for ${mac}`))
          return
        }
        socket.send(bytes, server.port, server.address, () => {})
        timer = setTimeout(send, patienceMillis * 2 ** (tries - 1))
      }
      waiting.set(xid, (answer) => {
        end()
        resolve(answer)
      })
      send()
    })

  return {
    async obtain(mac, as) {
      const offer = await exchange(mac, [[OPTION.messageType, u8(MESSAGE_TYPE.discover)], ...asks[as]])
      const serverId = readAddress(offer.options.get(OPTION.serverId)) ?? 0
      const ack = await exchange(mac, [
        [OPTION.messageType, u8(MESSAGE_TYPE.request)],
        [OPTION.requestedAddress, u32(offer.yiaddr)],
        [OPTION.serverId, u32(serverId)],
        ...asks[as],
      ])
      const type = ack.options.get(OPTION.messageType)?.[0]
      if (type !== MESSAGE_TYPE.ack) throw new Error(`DHCP refused ${mac} the address that it offered`)
      const file = ack.file === "" ? (readText(ack.options.get(OPTION.bootFile)) ?? "") : ack.file
      return { address: addressText(ack.yiaddr), server: addressText(ack.siaddr), file }
    },
    close: () => new Promise((resolve) => socket.close(() => resolve())),
  }
}

const messageOf = (
  mac: string,
  xid: number,
  giaddr: number,
  options: ReadonlyArray<readonly [number, Uint8Array]>,
): DhcpMessage => ({
  op: BOOTREQUEST,
  htype: 1,
  hops: 1,
  xid,
  secs: 0,
  broadcast: false,
  ciaddr: 0,
  yiaddr: 0,
  siaddr: 0,
  giaddr,
  chaddr: Buffer.from(mac.replaceAll(":", ""), "hex"),
  sname: "",
  file: "",
  options: new Map([...options, [OPTION.relayAgent, relayOption]]),
})

const bound = (address: string): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = createSocket("udp4")
    socket.once("error", reject)
    socket.bind({ address, port: 0 }, () => {
      socket.off("error", reject)
      socket.on("error", () => {})
      resolve(socket)
    })
  })
