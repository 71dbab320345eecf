/** What the server reports, and in which words it stands in the log. */

export type HttpEvent =
  /** Polled: one that guests ask for again and again. */
  | { readonly type: "sent" | "polled"; readonly client: string; readonly what: string; readonly bytes: number }
  | { readonly type: "refused"; readonly client: string; readonly what: string; readonly status: number }
  | { readonly type: "ended" | "malformed"; readonly client: string; readonly message: string }
  /** The listener. */
  | { readonly type: "broken"; readonly message: string }
  | { readonly type: "failed"; readonly client: string; readonly what: string; readonly message: string }

const CHARS = 128

/** A request's text as one line of printable characters. */
export const shown = (text: string): string => {
  const line = text.replaceAll(/[^\x20-\x7e]/gu, "?")
  return line.length > CHARS ? `${line.slice(0, CHARS)}...` : line
}

export const describeHttpEvent = (
  e: HttpEvent,
): { readonly level: "error" | "info" | "debug"; readonly text: string } => {
  if (e.type === "broken") return { level: "error", text: `http: ${e.message}` }
  const who = `http ${e.client}`
  switch (e.type) {
    case "sent":
    case "polled":
      return { level: e.type === "sent" ? "info" : "debug", text: `${who} ${shown(e.what)}: sent, ${e.bytes} bytes` }
    case "refused":
      return { level: "info", text: `${who} ${shown(e.what)}: ${e.status}` }
    case "ended":
    case "malformed":
      return { level: "debug", text: `${who}: ${shown(e.message)}` }
    case "failed":
      return { level: "error", text: `${who} ${shown(e.what)}: ${e.message}` }
  }
}
