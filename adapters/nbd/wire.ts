/**
 * What a session needs of a connection, so that it can be run without one.
 *
 * server.ts puts a TCP socket behind it; specs put arrays behind it.
 */
import type { OutputWire } from "../../core/slab-output.ts"

export interface Wire extends OutputWire {
  /** Asks for no more input; what has arrived may still be handed over. */
  pause(): void
  resume(): void
  /** Closes once everything sent has left. */
  end(): void
  /** Closes now. */
  destroy(): void
}
