/**
 * A TFTP server in a thread of its own, so that neither disks nor boot files wait for each other.
 *
 *     start ─► (workerData)        listening, refused, events ◄─ (messages)        serve, close ─► (messages), closed ◄─
 *
 * **Details** What comes back is told as if the server ran here. An error that nobody expects ends this process, as it would have here.
 */
import { Worker } from "node:worker_threads"
import { type ErrorJson, ImagelinkError } from "../../core/errors.ts"
import type { TftpEvent } from "./events.ts"

export interface TftpThreadInput {
  readonly address: string
  readonly port: number
  /** Below which boot files are. */
  readonly folder: string
  /** What `autoexec.ipxe` says where there is none. */
  readonly autoexec: string | undefined
}

export type FromThread =
  | { readonly type: "listening"; readonly address: string; readonly port: number }
  | { readonly type: "refused"; readonly error: ErrorJson }
  | { readonly type: "event"; readonly event: TftpEvent }
  | { readonly type: "timeout"; readonly client: string; readonly file: string; readonly error: ErrorJson }
  /** Of one that listens to nobody but another thread (lane.ts). */
  | { readonly type: "ready" }
  | { readonly type: "closed" }

/** What the thread is told: to end, or that boot files are in another folder now. */
export type ToThread = { readonly type: "close" } | { readonly type: "serve"; readonly folder: string }

export interface TftpThread {
  readonly address: string
  readonly port: number
  /** Whether it hears its peers: not after an error, until the next is heard. */
  listens(): boolean
  /** From now on, files of this folder. */
  serve(folder: string): void
  /** Running transfers are ended, and told so. A second close is the first. */
  close(): Promise<void>
}

/** `entry` runs `serveInThread`. @throws PORT_IN_USE LISTEN_FAILED */
export const listenTftpInThread = (
  entry: URL,
  input: TftpThreadInput,
  onEvent: (event: TftpEvent) => void,
): Promise<TftpThread> => {
  const worker = new Worker(entry, { workerData: input })
  const closed = new Promise<void>((resolve) => worker.once("exit", () => resolve()))
  const told = (message: ToThread) => worker.postMessage(message)
  let hears = true
  worker.on("error", (e) => {
    throw e
  })
  let closing: Promise<void> | undefined
  const close = async () => {
    told({ type: "close" })
    await closed
  }
  return new Promise((resolve, reject) => {
    worker.on("message", (m: FromThread) => {
      switch (m.type) {
        case "listening":
          return resolve({
            ...{ address: m.address, port: m.port },
            listens: () => hears && closing === undefined,
            serve: (folder) => told({ type: "serve", folder }),
            close: () => (closing ??= close()),
          })
        case "refused":
          return reject(new ImagelinkError(m.error))
        case "event":
          hears = m.event.type !== "broken"
          return onEvent(m.event)
        case "timeout":
          return onEvent({ ...m, error: new ImagelinkError(m.error) })
        case "closed":
          return void worker.terminate()
      }
    })
  })
}
