/**
 * Gives an accepted connection a receive buffer that is reused, instead of a fresh one for every read.
 *
 * **Details** Node has this for sockets it opens (`onread`), not for those it accepts; so the accepted socket's handle is moved to a socket made for
 * it. A fresh 64 KiB for each read is most of the garbage that a write makes, and a larger buffer takes a long burst in fewer reads. On Unix the
 * bytes are read when they are there and handed over at once, so one buffer serves all connections of a server, one after the other; on
 * Windows a read is posted ahead, and each has its own.
 *
 * **Gotchas** The buffer is the receiver's until it returns. The handle is an inner part of Node: where it is not found, the socket stays as it is.
 */
import { Socket } from "node:net"

interface Inner {
  _handle?: unknown
  _server?: unknown
  server?: unknown
}

export class ReceiveBuffers {
  private readonly bytes: number
  private shared: Buffer | undefined

  constructor(bytes: number) {
    this.bytes = bytes
  }

  /** Answers the socket to use; `receive` is given every chunk, which is the server's again when it returns. */
  attach(accepted: Socket, receive: (chunk: Uint8Array) => void): Socket {
    const inner = accepted as unknown as Inner
    const handle = inner._handle as { useUserBuffer?: unknown } | null | undefined
    if (typeof handle?.useUserBuffer !== "function") {
      accepted.on("data", receive)
      accepted.resume()
      return accepted
    }
    const buffer = this.bufferOf()
    const options = {
      handle,
      allowHalfOpen: accepted.allowHalfOpen,
      onread: {
        buffer,
        callback: (count: number) => {
          receive(buffer.subarray(0, count))
          return true
        },
      },
    }
    inner._handle = null
    const socket = new Socket(options as unknown as ConstructorParameters<typeof Socket>[0])
    // The server counts its connections by their sockets.
    const moved = socket as unknown as Inner
    moved.server = inner.server
    moved._server = inner._server
    inner._server = null
    socket.resume()
    return socket
  }

  private bufferOf(): Buffer {
    if (process.platform === "win32") return Buffer.allocUnsafeSlow(this.bytes)
    this.shared ??= Buffer.allocUnsafeSlow(this.bytes)
    return this.shared
  }
}
