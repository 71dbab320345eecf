/** What a TFTP server reports, and each as a line of the server's log. */
import type { ImagelinkError } from "../../core/errors.ts"
import type { TftpOption } from "./packet.ts"
import { shown } from "./shown.ts"

interface About {
  /** `address:port`, as the client's transfer is known. */
  readonly client: string
  readonly file: string
}

export type TftpEvent =
  | (About & { readonly type: "started"; readonly sizeBytes: number; readonly answers: ReadonlyArray<TftpOption> })
  | (About & { readonly type: "done"; readonly sizeBytes: number })
  /** All of it, and that the last of it came was not said for so long. */
  | (About & { readonly type: "unconfirmed"; readonly sizeBytes: number; readonly seconds: number })
  /** The client ended it. Firmware that only asks for the size does so with code 8 or 0. */
  | (About & { readonly type: "aborted"; readonly code: number; readonly message: string })
  | (About & { readonly type: "refused" | "failed" | "stopped"; readonly message: string })
  | (About & { readonly type: "timeout"; readonly error: ImagelinkError })
  /** Not answered, so that the client asks again. */
  | (About & { readonly type: "busy"; readonly message: string })
  | { readonly type: "malformed"; readonly client: string; readonly message: string }
  | { readonly type: "broken"; readonly message: string }

interface Line {
  readonly level: "error" | "info" | "debug"
  readonly text: string
}

export const describeTftpEvent = (e: TftpEvent): Line => {
  if (e.type === "broken") return { level: "error", text: `tftp: ${e.message}` }
  const who = `tftp ${e.client}`
  if (e.type === "malformed") return { level: "debug", text: `${who}: ${e.message}` }
  const what = `${who} ${shown(e.file)}`
  switch (e.type) {
    case "started": {
      const options = e.answers.map(([name, value]) => ` ${name}=${value}`).join("")
      return { level: "debug", text: `${what}: ${e.sizeBytes} bytes${options}` }
    }
    case "done":
      return { level: "info", text: `${what}: sent, ${e.sizeBytes} bytes` }
    case "unconfirmed":
      return {
        level: "info",
        text: `${what}: sent, ${e.sizeBytes} bytes; the client did not confirm the last of them within ${e.seconds} s`,
      }
    case "aborted":
      return { level: "debug", text: `${what}: ended by the client: ${shown(e.message)} (${e.code})` }
    case "stopped":
      return { level: "debug", text: `${what}: ${e.message}` }
    case "refused":
    case "busy":
      return { level: "info", text: `${what}: ${e.message}` }
    case "failed":
      return { level: "error", text: `${what}: ${e.message}` }
    case "timeout": {
      const { message, code, reason, fix } = e.error
      return { level: "error", text: `tftp: ${message} [${code}]; ${reason}; fix: ${fix}` }
    }
  }
}
