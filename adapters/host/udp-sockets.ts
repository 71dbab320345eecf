/**
 * UDP sockets by number: socket(2), bind(2), close(2). One costs a tenth of what Node's costs, which has an event loop to join.
 *
 *     struct sockaddr_in, 16 bytes    family 2, port 2 and address 4 in the order of the network
 */
import { writeU32 } from "../../core/bytes.ts"

export interface SocketCalls {
  readonly socket: (domain: number, type: number, protocol: number) => number
  readonly bind: (fd: number, address: Uint8Array, bytes: number) => number
  readonly close: (fd: number) => number
  readonly errno: () => number
}

const AF_INET = 2
/** SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC of asm-generic. */
const TYPE = 2 | 0x800 | 0x8_0000
const SOCKADDR_BYTES = 16

/** Bound to any free port of an IPv4 address. Negative: an error of errno(3). */
export const openUdp = ({ socket, bind, close, errno }: SocketCalls, address: number): number => {
  const fd = socket(AF_INET, TYPE, 0)
  if (fd < 0) return -errno()
  const name = Buffer.alloc(SOCKADDR_BYTES)
  name.writeUInt16LE(AF_INET, 0)
  writeU32(name, 4, address)
  if (bind(fd, name, SOCKADDR_BYTES) === 0) return fd
  const failed = -errno()
  close(fd)
  return failed
}
