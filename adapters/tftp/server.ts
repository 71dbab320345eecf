/**
 * Serves files over TFTP (RFC 1350), read-only: one socket for requests, and one of its own for each transfer (running.ts).
 *
 * **Details** A request that comes again from the same port while its transfer runs is the client's retry and starts no other; a different one
 * from there means that the client began anew. A datagram that is no request is not answered, nor is an ERROR: two servers would
 * answer each other for ever. With too many transfers, requests are not answered either, because clients then ask again.
 *
 * **Gotchas** Bound to all addresses, a machine with several answers from the one its routes choose, which some firmware does not accept:
 * name one address.
 */
import type { Socket } from "node:dgram"
import { fail } from "../../core/errors.ts"
import { limits } from "../../core/limits.ts"
import type { BootFiles, BootPeer } from "../../core/runtime/boot-files.ts"
import { bindDatagram, closeDatagram, fileDescriptor } from "../../core/runtime/datagram-socket.ts"
import { watchListener } from "../../core/runtime/listening.ts"
import { type Clock, systemClock } from "./clock.ts"
import type { TftpEvent } from "./events.ts"
import { decode, ERROR_CODE, encode, OPCODE, type Request } from "./packet.ts"
import type { Pump } from "./pump.ts"
import { type Serve, type Serving, type ServingInput, serveHere } from "./serving.ts"
import { shown } from "./shown.ts"
import { nodeTransferSocket } from "./sockets.ts"
import type { Outcome, TransferLimits } from "./transfer.ts"

export interface TftpServerLimits extends TransferLimits {
  readonly transfersMax: number
  readonly transfersPerPeerMax: number
}

export interface TftpServerInput {
  readonly address: string
  /** 0 for any free one. */
  readonly port: number
  /** Bound already; it is used instead of a new one, and closed with the server. */
  readonly socket?: Socket | undefined
  readonly files: BootFiles
  readonly onEvent?: (event: TftpEvent) => void
  readonly limits?: Partial<TftpServerLimits>
  readonly clock?: Clock
  /** Where the host has the calls for it, and this thread nothing else to do. */
  readonly pump?: Pump | undefined
}

export interface TftpServer {
  readonly address: string
  readonly port: number
  transfers(): number
  /** Requests that come to another socket of the same address and port are served by another. The socket is closed with the server. */
  also(socket: Socket, serve: Serve): void
  /** Whether it still hears its peers. */
  listens(): boolean
  /** Takes no more requests, tells clients of running transfers, closes. A second close is the first. */
  close(): Promise<void>
}

/** What core/limits.ts says. */
export const tftpDefaults: TftpServerLimits = {
  blksizeMax: limits.tftpBlksizeMax,
  windowBlocksMax: limits.tftpWindowBlocksMax,
  windowBytesMax: limits.tftpWindowBytesMax,
  readBytes: limits.tftpReadBytes,
  timeoutMillis: limits.tftpTimeoutMillis,
  timeoutMillisMin: limits.tftpTimeoutMillisMin,
  probeMillisMin: limits.tftpProbeMillisMin,
  timeoutMillisMax: limits.tftpTimeoutMillisMax,
  retriesMax: limits.tftpRetriesMax,
  silenceMillisMin: limits.tftpSilenceMillisMin,
  silenceMillisMax: limits.tftpSilenceMillisMax,
  transfersMax: limits.tftpTransfersMax,
  transfersPerPeerMax: limits.tftpTransfersPerPeerMax,
}

/** What the server holds for one client's port. */
interface Slot {
  readonly address: string
  /** The request's bytes, by which a retry is known. */
  readonly request: Buffer
  serving?: Serving
}

/** Listens and serves. @throws PORT_IN_USE LISTEN_FAILED */
export const listenTftp = async (input: TftpServerInput): Promise<TftpServer> => {
  const { address: at, port: wanted } = input
  const socket = input.socket ?? (await bindDatagram({ protocol: "tftp", address: at, port: wanted }))
  const requests = new Requests(input, socket)
  const listens = watchListener(socket, "message", (e) => requests.report({ type: "broken", message: e.message }))
  const sockets: Array<Socket> = []
  const also = (one: Socket, serve: Serve): void => {
    const take = (bytes: Uint8Array, from: BootPeer) => requests.receive(bytes, from, serve)
    one.on("message", take)
    input.pump?.watch(fileDescriptor(one), take)
    sockets.push(one)
  }
  also(socket, serveHere(servingInput(input, { ...tftpDefaults, ...input.limits })))
  const { address, port } = socket.address()
  let closing: Promise<void> | undefined
  const close = async (): Promise<void> => {
    for (const one of sockets) input.pump?.forget(fileDescriptor(one))
    await Promise.all([...sockets.map(closeDatagram), requests.stop()])
  }
  return { address, port, transfers: () => requests.slots.size, also, listens, close: () => (closing ??= close()) }
}

class Requests {
  /** By the client's `address:port`. */
  readonly slots = new Map<string, Slot>()
  readonly #input: TftpServerInput
  readonly #socket: Socket
  readonly #bounds: TftpServerLimits
  #stopped = false
  /** Busy is reported once until a transfer ends, however often clients ask. */
  #saidBusy = false

  constructor(input: TftpServerInput, socket: Socket) {
    this.#input = input
    this.#socket = socket
    this.#bounds = { ...tftpDefaults, ...input.limits }
  }

  report(event: TftpEvent): void {
    this.#input.onEvent?.(event)
  }

  receive(bytes: Uint8Array, from: BootPeer, serve: Serve): void {
    if (this.#stopped) return
    const client = nameOf(from)
    const packet = decode(bytes)
    if (packet.type === "unknown") {
      this.report({ type: "malformed", client, message: packet.why })
      if (packet.opcode === OPCODE.RRQ || packet.opcode === OPCODE.WRQ)
        this.#refuse(from, ERROR_CODE.illegalOperation, packet.why)
    } else if (packet.type === "RRQ" || packet.type === "WRQ") this.#request(packet, Buffer.from(bytes), from, serve)
    else this.report({ type: "malformed", client, message: `${packet.type} where a request is expected` })
  }

  /** Ends what runs, and settles when nothing of it is left. */
  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all([...this.slots.values()].map(({ serving }) => serving?.stop()))
  }

  #request(request: Request, bytes: Buffer, from: BootPeer, serve: Serve): void {
    const refusal = refusalOf(request)
    if (refusal === undefined) this.#start(request, bytes, from, serve)
    else {
      this.report({ type: "refused", client: nameOf(from), file: request.file, message: refusal[1] })
      this.#refuse(from, ...refusal)
    }
  }

  #start(request: Request, bytes: Buffer, from: BootPeer, serve: Serve): void {
    const client = nameOf(from)
    const before = this.slots.get(client)
    if (before?.request.equals(bytes)) {
      before.serving?.askedAgain()
      return
    }
    before?.serving?.abandon()
    this.slots.delete(client)
    const why = this.#busy(from)
    if (why !== undefined) {
      if (!this.#saidBusy) this.report({ type: "busy", client, file: request.file, message: why })
      this.#saidBusy = true
      return
    }
    this.#run(request, bytes, from, serve)
  }

  #busy(from: BootPeer): string | undefined {
    const { transfersMax, transfersPerPeerMax } = this.#bounds
    if (this.slots.size >= transfersMax) return `not answered yet: ${transfersMax} transfers run`
    let ofPeer = 0
    for (const slot of this.slots.values()) if (slot.address === from.address) ofPeer++
    if (ofPeer < transfersPerPeerMax) return undefined
    return `not answered yet: ${transfersPerPeerMax} transfers run for this address`
  }

  #run({ file, options }: Request, bytes: Buffer, from: BootPeer, serve: Serve): void {
    const about = { client: nameOf(from), file }
    const slot: Slot = { address: from.address, request: bytes }
    this.slots.set(about.client, slot)
    slot.serving = serve({ file, options }, from, {
      started: (sizeBytes, answers) => this.report({ ...about, type: "started", sizeBytes, answers }),
      refused: ({ type, code, message }) => {
        const isWanted = this.slots.get(about.client) === slot
        this.#release(about.client, slot)
        this.report({ ...about, type, message })
        // A client that began anew meanwhile would take it to be about that.
        if (isWanted) this.#refuse(from, code, message)
      },
      ended: (outcome) => {
        this.#release(about.client, slot)
        this.report(eventOf(about, outcome))
      },
      missed: () => this.receive(bytes, from, serve),
    })
  }

  #release(client: string, slot: Slot): void {
    if (this.slots.get(client) === slot) this.slots.delete(client)
    this.#saidBusy = false
  }

  #refuse(to: BootPeer, code: number, message: string): void {
    if (!this.#stopped) this.#socket.send(encode({ type: "ERROR", code, message }), to.port, to.address, () => {})
  }
}

/** For transfers of this thread. */
export const servingInput = (
  { address, files, pump, clock }: Pick<TftpServerInput, "address" | "files" | "pump" | "clock">,
  bounds: TransferLimits = tftpDefaults,
): ServingInput => ({
  address,
  bounds,
  files: pump?.files(files) ?? files,
  clock: clock ?? pump?.clock ?? systemClock,
  open: pump?.open ?? nodeTransferSocket,
})

const nameOf = ({ address, port }: BootPeer): string => `${address.includes(":") ? `[${address}]` : address}:${port}`

/** What is refused before a file is looked for. */
const refusalOf = (request: Request): readonly [code: number, message: string] | undefined => {
  if (request.type === "WRQ") return [ERROR_CODE.accessViolation, "this server takes no files"]
  if (request.mode === "octet") return undefined
  return [ERROR_CODE.notDefined, `files are sent in mode octet only, not ${shown(request.mode)}`]
}

const eventOf = (about: { readonly client: string; readonly file: string }, outcome: Outcome): TftpEvent => {
  if (outcome.type !== "timeout") return { ...about, ...outcome }
  const error = fail("TFTP_TIMEOUT", { ...outcome, client: about.client, file: shown(about.file) })
  return { ...about, type: "timeout", error }
}
