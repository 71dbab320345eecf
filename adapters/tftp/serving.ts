/**
 * Serves one read request: opens its file and runs the transfer (running.ts). Who may ask, and how many at once, is the server's (server.ts).
 *
 *     request ─► opened ─► started … ended
 *                  └─► refused
 */
import { type BootFiles, type BootPeer, FileRefused } from "../../core/runtime/boot-files.ts"
import type { OpenedFile } from "../../core/runtime/held-file.ts"
import type { Clock } from "./clock.ts"
import { ERROR_CODE, type TftpOption } from "./packet.ts"
import { RunningTransfer } from "./running.ts"
import type { OpenTransferSocket } from "./sockets.ts"
import type { Outcome, TransferLimits } from "./transfer.ts"

export interface ReadRequest {
  readonly file: string
  readonly options: ReadonlyArray<TftpOption>
}

export interface Serving {
  /** Its client asked again. */
  askedAgain(): void
  /** Ends it without a word: the client has a new transfer and would take an ERROR to be about that. */
  abandon(): void
  /** Ends it, and tells the client. Settles when nothing of it is left. */
  stop(): Promise<void>
}

/** What the client is to be told, with an error code of RFC 1350. */
export interface Refusal {
  readonly type: "refused" | "failed"
  readonly code: number
  readonly message: string
}

/** Never called before `Serve` has answered. The last one is `refused` or `ended`, once. */
export interface ServingEvents {
  readonly started: (sizeBytes: number, answers: ReadonlyArray<TftpOption>) => void
  readonly refused: (refusal: Refusal) => void
  readonly ended: (outcome: Outcome) => void
  /** Its client had asked again when it was over already: nothing answers that. */
  readonly missed: () => void
}

export type Serve = (request: ReadRequest, from: BootPeer, events: ServingEvents) => Serving

export interface ServingInput {
  /** Where transfers' sockets are bound. */
  readonly address: string
  readonly files: BootFiles
  readonly bounds: TransferLimits
  readonly clock: Clock
  readonly open: OpenTransferSocket
}

/** On this thread. */
export const serveHere =
  (input: ServingInput): Serve =>
  (request, from, events) =>
    new ServedHere(input, request, from, events)

class ServedHere implements Serving {
  readonly #input: ServingInput
  readonly #request: ReadRequest
  readonly #from: BootPeer
  readonly #events: ServingEvents
  readonly #opened: Promise<void>
  #running: RunningTransfer | undefined
  /** It ended before its file was open. */
  #unwanted: string | undefined

  constructor(input: ServingInput, request: ReadRequest, from: BootPeer, events: ServingEvents) {
    this.#input = input
    this.#request = request
    this.#from = from
    this.#events = events
    this.#opened = this.#open()
  }

  askedAgain(): void {
    this.#running?.askedAgain()
  }

  abandon(): void {
    this.#running?.abandon()
    this.#unwanted ??= "the client began anew"
  }

  async stop(): Promise<void> {
    this.#running?.stop()
    this.#unwanted ??= "the server is stopping"
    await this.#opened
  }

  async #open(): Promise<void> {
    const found = await this.#find()
    if (this.#unwanted !== undefined) {
      if ("close" in found) await found.close()
      this.#events.ended({ type: "stopped", message: this.#unwanted })
    } else if ("close" in found) this.#run(found)
    else this.#events.refused(found)
  }

  async #find(): Promise<OpenedFile | Refusal> {
    try {
      return (await this.#input.files.open(this.#request.file, this.#from)) ?? noSuchFile
    } catch (e) {
      return refusalOf(e)
    }
  }

  #run(file: OpenedFile): void {
    const { address, bounds, clock, open } = this.#input
    const { started, ended } = this.#events
    this.#running = new RunningTransfer({
      ...{ address, file, bounds, clock, open, ended },
      peer: this.#from,
      options: this.#request.options,
      started: ({ sizeBytes, agreed }) => started(sizeBytes, agreed.answers),
    })
  }
}

const noSuchFile: Refusal = { type: "refused", code: ERROR_CODE.fileNotFound, message: "there is no such file" }

const refusalOf = (e: unknown): Refusal => {
  if (e instanceof FileRefused) return { type: "refused", code: ERROR_CODE.accessViolation, message: e.message }
  const { code } = e as NodeJS.ErrnoException
  return {
    type: "failed",
    code: ERROR_CODE.notDefined,
    message: `the file cannot be opened (${code ?? "unknown"})`,
  }
}
