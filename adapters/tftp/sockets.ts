/** The socket of one transfer, as the transfer sees it: what Node gives, or a faster one (pump.ts). */
import type { BootPeer } from "../../core/runtime/boot-files.ts"
import { datagramSocket } from "../../core/runtime/datagram-socket.ts"
import { dataPacket } from "./packet.ts"

export interface TransferSocketEvents {
  /** It can send, and hears. */
  readonly bound: () => void
  /** The bytes are others afterwards. */
  readonly message: (bytes: Uint8Array, from: BootPeer) => void
  readonly failed: (why: string) => void
}

export interface TransferSocket {
  /** Called once; `bound` may come before it returns. */
  start(events: TransferSocketEvents): void
  /** What cannot be sent counts as lost on the way: time sends it again, or ends the transfer. */
  send(bytes: Uint8Array, to: BootPeer): void
  /** DATA with `[from, to)` of `bytes`, which stay the caller's. */
  sendBlock(blockNumber: number, bytes: Uint8Array, from: number, to: number, peer: BootPeer): void
  close(): void
}

/** Bound to any free port of an address. */
export type OpenTransferSocket = (address: string) => TransferSocket

export const nodeTransferSocket: OpenTransferSocket = (address) => {
  const socket = datagramSocket(address)
  return {
    start({ bound, message, failed }) {
      socket.on("error", (e) => failed(e.message))
      socket.on("message", message)
      socket.bind({ address, port: 0 }, bound)
    },
    send: (bytes, to) => socket.send(bytes, to.port, to.address),
    sendBlock: (blockNumber, bytes, from, to, peer) =>
      socket.send(dataPacket(blockNumber, bytes, from, to), peer.port, peer.address),
    // Closing at once would throw away what was just given to send.
    close: () => void setImmediate(() => socket.close()),
  }
}
