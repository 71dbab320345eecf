/**
 * Whether a listener still hears its peers: what readiness asks long after it was opened.
 *
 * **Details** It does not while it is closed, nor from an error on until the next peer is heard: a process without file descriptors left accepts nobody, and does again
 * once it has some. An error of a listener concerns whoever was to be heard, and never ends the process.
 */
import type { EventEmitter } from "node:events"

/** `heard`: the event that a peer makes. */
export const watchListener = (
  socket: Pick<EventEmitter, "on">,
  heard: "connection" | "message",
  onError: (error: Error) => void = () => {},
): (() => boolean) => {
  let hears = true
  socket.on("error", (error: Error) => {
    hears = false
    onError(error)
  })
  socket.on("close", () => {
    hears = false
  })
  socket.on(heard, () => {
    hears = true
  })
  return () => hears
}
