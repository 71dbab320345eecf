/** The socket of one transfer, as the transfer sees it: what Node gives, or a faster one (pump.ts). */
import type { BootPeer } from "../../core/runtime/boot-files.ts"
import { datagramSocket } from "../../core/runtime/datagram-socket.ts"

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
  /** What was given to `send` is the caller's again when it returns. */
  readonly copies: boolean
  /** What cannot be sent counts as lost on the way: time sends it again, or ends the transfer. */
  send(bytes: Uint8Array, to: BootPeer): void
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
    copies: false,
    send: (bytes, to) => socket.send(bytes, to.port, to.address),
    // Closing at once would throw away what was just given to send.
    close: () => void setImmediate(() => socket.close()),
  }
}
