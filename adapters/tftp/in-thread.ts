/** The thread's side of thread.ts: serves a folder, with the pump where the host has what it takes. */
import { isIPv4 } from "node:net"
import { parentPort, workerData } from "node:worker_threads"
import { isImagelinkError } from "../../core/errors.ts"
import type { Host } from "../../core/host.ts"
import { type BootFiles, folderFiles, withAutoexec } from "../../core/runtime/boot-files.ts"
import { lookNow } from "../../core/runtime/held-file.ts"
import type { TftpEvent } from "./events.ts"
import { Pump } from "./pump.ts"
import { listenTftp } from "./server.ts"
import type { FromThread, TftpThreadInput, ToThread } from "./thread.ts"

export const serveInThread = async (host: Host): Promise<void> => {
  const { address, port, folder, autoexec }: TftpThreadInput = workerData
  const pump = isIPv4(address) ? pumpOf(host) : undefined
  const filesIn = (named: string) => {
    const found = folderFiles(named, undefined, lookNow)
    return autoexec === undefined ? found : withAutoexec(found, autoexec)
  }
  let inFolder = filesIn(folder)
  const files: BootFiles = { open: (name, peer) => inFolder.open(name, peer) }
  try {
    const server = await listenTftp({ address, port, files, onEvent: tellEvent, pump })
    parentPort?.on("message", (told: ToThread) => {
      if (told.type === "serve") {
        inFolder = filesIn(told.folder)
        return
      }
      void server.close().then(() => {
        pump?.close()
        tell({ type: "closed" })
      })
    })
    tell({ type: "listening", address: server.address, port: server.port })
  } catch (e) {
    if (!isImagelinkError(e)) throw e
    tell({ type: "refused", error: e.toJSON() })
  }
}

const pumpOf = ({ datagramExchange }: Host): Pump | undefined => datagramExchange && new Pump(datagramExchange)

const tell = (message: FromThread): void => parentPort?.postMessage(message)

/** An error does not come whole through a message. */
const tellEvent = (event: TftpEvent): void => {
  if (event.type !== "timeout") tell({ type: "event", event })
  else tell({ type: "timeout", client: event.client, file: event.file, error: event.error.toJSON() })
}
