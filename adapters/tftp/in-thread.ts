/**
 * The threads' side of thread.ts: one listens, and one more serves what that one gives it, once many transfers ran at a time. Each has the folder, and the pump where the host has
 * what it takes.
 *
 *     requests ─► the socket of their processor ─► the thread that listens: who, how often, how many ─► transfers, here or in the other thread (lane.ts)
 *
 * **Details** A client is served by the thread of the processor that took its request: a network card with several queues, and the loopback device for a client on this
 * machine, go on to give its packets to that one, whose caches have the transfer, and nobody on another processor must be woken (core/decisions/026).
 */
import type { Socket } from "node:dgram"
import { isIPv4 } from "node:net"
import { availableParallelism } from "node:os"
import { parentPort, workerData } from "node:worker_threads"
import { isImagelinkError } from "../../core/errors.ts"
import type { Host } from "../../core/host.ts"
import { limits } from "../../core/limits.ts"
import { type BootFiles, folderFiles, withAutoexec } from "../../core/runtime/boot-files.ts"
import { bindDatagram, fileDescriptor } from "../../core/runtime/datagram-socket.ts"
import { lookNow } from "../../core/runtime/held-file.ts"
import type { TftpEvent } from "./events.ts"
import { serveAsked } from "./far-serving.ts"
import { beginLane, type Lane, type LaneInput } from "./lane.ts"
import { Pump } from "./pump.ts"
import { listenTftp, servingInput, type TftpServer } from "./server.ts"
import { serveHere } from "./serving.ts"
import type { FromThread, TftpThreadInput, ToThread } from "./thread.ts"

/** `entry` is what runs this. */
export const serveInThread = async (host: Host, entry: URL): Promise<void> => {
  const input: TftpThreadInput | LaneInput = workerData
  if ("line" in input) serveLane(host, input)
  else await serveFolder(host, input, entry)
}

const serveFolder = async (host: Host, input: TftpThreadInput, entry: URL): Promise<void> => {
  try {
    const socket = await bindDatagram({ protocol: "tftp", address: input.address, port: input.port })
    const serving = new ListeningThread(host, input, entry, socket)
    const { address, port } = await serving.listen()
    parentPort?.on("message", (told: ToThread) => {
      if (told.type === "serve") serving.useFolder(told.folder)
      else void serving.close().then(() => tell({ type: "closed" }))
    })
    tell({ type: "listening", address, port })
  } catch (e) {
    if (!isImagelinkError(e)) throw e
    tell({ type: "refused", error: e.toJSON() })
  }
}

class ListeningThread {
  readonly #host: Host
  readonly #input: TftpThreadInput
  readonly #entry: URL
  readonly #socket: Socket
  readonly #files: FolderFiles
  readonly #pump: Pump | undefined
  #server: TftpServer | undefined
  /** Undefined until it is wanted. */
  #lane: Promise<Lane | undefined> | undefined

  constructor(host: Host, input: TftpThreadInput, entry: URL, socket: Socket) {
    this.#host = host
    this.#input = input
    this.#entry = entry
    this.#socket = socket
    this.#files = new FolderFiles(input)
    this.#pump = pumpOf(host, input.address)
  }

  async listen(): Promise<TftpServer> {
    const { address, port } = this.#input
    const onEvent = (event: TftpEvent) => this.#take(event)
    const from = { address, port, socket: this.#socket, files: this.#files, onEvent, pump: this.#pump }
    this.#server = await listenTftp(from)
    return this.#server
  }

  useFolder(folder: string): void {
    this.#files.folder = folder
    void this.#lane?.then((lane) => lane?.useFolder(folder))
  }

  async close(): Promise<void> {
    const lane = await this.#lane
    await this.#server?.close()
    await lane?.close()
    this.#pump?.close()
  }

  #take(event: TftpEvent): void {
    tellEvent(event)
    const many = event.type === "started" && this.#server!.transfers() >= limits.tftpThreadTransfers
    if (many) this.#lane ??= this.#oneMore()
  }

  async #oneMore(): Promise<Lane | undefined> {
    const fd = fileDescriptor(this.#socket)
    if (this.#pump === undefined || availableParallelism() < 2 || !this.#host.sharePort?.(fd)) return undefined
    const { address, autoexec } = this.#input
    const lane = await beginLane(this.#entry, { address, autoexec, folder: this.#files.folder })
    const beside = { protocol: "tftp", address, port: this.#server!.port, besideAnother: true }
    try {
      this.#server!.also(await bindDatagram(beside), lane.serve)
    } catch {
      // The system has its reasons, and one thread can serve everybody.
      await lane.close()
      return undefined
    }
    if (this.#host.shareByProcessor?.(fd, 2)) this.#host.keepToProcessors?.(2, 0)
    return lane
  }
}

const serveLane = (host: Host, input: LaneInput): void => {
  host.keepToProcessors?.(2, 1)
  const pump = pumpOf(host, input.address)
  const files = new FolderFiles(input)
  serveAsked(input.line, serveHere(servingInput({ address: input.address, files, pump })))
  parentPort?.on("message", (told: ToThread) => {
    if (told.type === "serve") files.folder = told.folder
    else {
      pump?.close()
      tell({ type: "closed" })
    }
  })
  tell({ type: "ready" })
}

/** The files of a folder, which may be another one from a moment on. */
class FolderFiles implements BootFiles {
  readonly #autoexec: string | undefined
  #folder: string
  #files: BootFiles

  constructor({ folder, autoexec }: Pick<TftpThreadInput, "folder" | "autoexec">) {
    this.#autoexec = autoexec
    this.#folder = folder
    this.#files = this.#filesIn(folder)
  }

  get folder(): string {
    return this.#folder
  }
  set folder(folder: string) {
    this.#folder = folder
    this.#files = this.#filesIn(folder)
  }

  readonly open: BootFiles["open"] = (name, peer) => this.#files.open(name, peer)

  #filesIn(folder: string): BootFiles {
    const files = folderFiles(folder, undefined, lookNow)
    return this.#autoexec === undefined ? files : withAutoexec(files, this.#autoexec)
  }
}

const pumpOf = ({ datagramExchange }: Host, address: string): Pump | undefined =>
  datagramExchange === undefined || !isIPv4(address) ? undefined : new Pump(datagramExchange)

const tell = (message: FromThread): void => parentPort?.postMessage(message)

/** An error does not come whole through a message. */
const tellEvent = (event: TftpEvent): void => {
  if (event.type !== "timeout") tell({ type: "event", event })
  else tell({ type: "timeout", client: event.client, file: event.file, error: event.error.toJSON() })
}
