/**
 * A small TFTP client: fetches one file in mode octet, with options and windows (receiver.ts has the rules).
 *
 * **Details** The last packet is sent again after a silence that doubles each time; after the last retry the transfer fails. The last ACK is not
 * waited upon (RFC 1350 §6 calls that dallying): a server that lost it ends by its own timeout.
 */
import { createSocket } from "node:dgram"
import { isIPv6 } from "node:net"
import type { BootPeer } from "../../core/runtime/boot-files.ts"
import { decode, ERROR_CODE, encode, type Packet, type TftpOption } from "./packet.ts"
import { type Received, receive, receiver } from "./receiver.ts"

export interface TftpFetch {
  readonly host: string
  readonly port: number
  readonly file: string
  /** One of this machine's; else the routes choose. */
  readonly localAddress?: string
  readonly blksize?: number
  readonly windowsize?: number
  readonly timeoutSeconds?: number
  /** Asks for the file's size. */
  readonly tsize?: boolean
  /** First silence after which the last packet is sent again. */
  readonly patienceMillis?: number
  readonly retriesMax?: number
  /** A larger file is refused. */
  readonly bytesMax?: number
}

export interface TftpFetched {
  readonly bytes: Buffer
  /** What the server answered to the options. */
  readonly answers: ReadonlyArray<TftpOption>
}

/** `code` is the protocol's error code, or undefined where nothing came at all. */
export class TftpError extends Error {
  override readonly name = "TftpError"
  readonly code: number | undefined

  constructor(code: number | undefined, message: string) {
    super(message)
    this.code = code
  }
}

const optionsOf = (input: TftpFetch): ReadonlyArray<TftpOption> =>
  Object.entries({
    blksize: input.blksize,
    windowsize: input.windowsize,
    timeout: input.timeoutSeconds,
    tsize: input.tsize ? 0 : undefined,
  }).flatMap(([name, value]): ReadonlyArray<TftpOption> => (value === undefined ? [] : [[name, String(value)]]))

/** Fetches a file. @throws TftpError */
export const fetchTftp = (input: TftpFetch): Promise<TftpFetched> =>
  new Promise((resolve, reject) => {
    const { host, port, file, patienceMillis = 1000, retriesMax = 5, bytesMax = 2 ** 30, localAddress } = input
    const options = optionsOf(input)
    const socket = createSocket(isIPv6(host) ? "udp6" : "udp4")
    const parts: Array<Uint8Array> = []
    let state = receiver(options)
    let sizeBytes = 0
    let server: BootPeer | undefined
    let last: Packet = { type: "RRQ", file, mode: "octet", options }
    let retries = 0
    let timer: NodeJS.Timeout | undefined
    let ended = false

    const send = (packet: Packet, to: BootPeer = server ?? { address: host, port }) => {
      if (!ended) socket.send(encode(packet), to.port, to.address, () => {})
    }
    const end = (settle: () => void) => {
      if (ended) return
      clearTimeout(timer)
      ended = true
      setImmediate(() => socket.close())
      settle()
    }
    const failed = (code: number | undefined, message: string) => end(() => reject(new TftpError(code, message)))
    const await_ = () => {
      clearTimeout(timer)
      timer = setTimeout(onSilence, patienceMillis * 2 ** retries)
    }
    const onSilence = () => {
      if (retries++ >= retriesMax) return failed(undefined, `no answer from ${host}:${port}`)
      send(last)
      await_()
    }
    const take = (received: Received) => {
      if (received.type === "refused") return failed(received.code, received.message)
      if (received.data !== undefined) {
        parts.push(received.data)
        sizeBytes += received.data.length
        retries = 0
      }
      if (sizeBytes > bytesMax) {
        send({ type: "ERROR", code: ERROR_CODE.diskFull, message: "the file is too large" })
        return failed(ERROR_CODE.diskFull, "the file is too large")
      }
      if (received.type === "whole") return end(() => resolve({ bytes: Buffer.concat(parts), answers: state.answers }))
      await_()
    }

    socket.on("error", (e) => failed(undefined, e.message))
    socket.on("message", (bytes, from) => {
      const packet = decode(bytes)
      if (ended || packet.type === "unknown" || packet.type === "RRQ" || packet.type === "WRQ") return
      if (server === undefined && packet.type !== "ACK") server = { address: from.address, port: from.port }
      if (server === undefined || from.port !== server.port || from.address !== server.address)
        return send({ type: "ERROR", code: ERROR_CODE.unknownTransferId, message: "not this transfer" }, from)
      const [next, answer, received] = receive(state, packet)
      state = next
      if (answer !== undefined) send(answer)
      if (answer !== undefined && answer.type !== "ERROR") last = answer
      take(received)
    })
    socket.bind({ port: 0, ...(localAddress === undefined ? {} : { address: localAddress }) }, () => {
      send(last)
      await_()
    })
  })
