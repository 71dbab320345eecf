/** A thread that serves what the TFTP server's own thread gives it, over there (in-thread.ts) and as that one sees it. */
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads"
import { serveThere } from "./far-serving.ts"
import type { Serve } from "./serving.ts"
import type { FromThread, ToThread } from "./thread.ts"

export interface LaneInput {
  readonly address: string
  readonly folder: string
  readonly autoexec: string | undefined
  /** Where it is asked (far-serving.ts). */
  readonly line: MessagePort
}

export interface Lane {
  readonly serve: Serve
  /** From now on, files of this folder. */
  useFolder(folder: string): void
  /** What it was given to serve has ended. */
  close(): Promise<void>
}

/** `entry` runs `serveInThread`. */
export const beginLane = (entry: URL, input: Omit<LaneInput, "line">): Promise<Lane> => {
  const { port1, port2 } = new MessageChannel()
  const workerData: LaneInput = { ...input, line: port2 }
  const worker = new Worker(entry, { workerData, transferList: [port2] })
  const told = (message: ToThread) => worker.postMessage(message)
  const closed = new Promise<void>((resolve) => worker.once("exit", () => resolve()))
  worker.on("error", (e) => {
    throw e
  })
  return new Promise((resolve) => {
    worker.on("message", (m: FromThread) => {
      if (m.type === "closed") void worker.terminate()
      else if (m.type === "ready")
        resolve({
          serve: serveThere(port1),
          useFolder: (folder) => told({ type: "serve", folder }),
          async close() {
            told({ type: "close" })
            await closed
            port1.close()
          },
        })
    })
  })
}
