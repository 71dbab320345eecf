/** A socket as a session sees it. */
import type { Socket } from "node:net"
import type { OutputWire } from "../../core/slab-output.ts"

/** What a session needs of a connection; specs put arrays behind it. */
export interface Wire extends OutputWire {
  /** Asks for no more input; what has arrived may still be handed over. */
  pause(): void
  resume(): void
  /** Closes once everything sent has left. */
  end(): void
  /** Closes now. */
  destroy(): void
}

/** A write leaves at once unless the kernel's buffer is full. */
export const socketWire = (socket: Socket): Wire => ({
  send: (bytes) => {
    socket.write(bytes)
    return socket.writableLength === 0
  },
  queuedBytes: () => socket.writableLength,
  pause: () => void socket.pause(),
  resume: () => void socket.resume(),
  end: () => void socket.end(),
  destroy: () => void socket.destroy(),
})
