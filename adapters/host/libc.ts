/**
 * Calls of the C library that Node does not offer, through a foreign function interface (core/decisions/013-host-calls.md).
 *
 *     fallocate(2)   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE      on a thread: it may wait for the file system's journal
 *     lseek(2)       SEEK_DATA, SEEK_HOLE                            at once: 1 µs; nobody here uses a file's position
 *     getsockopt(2)  SO_PEERCRED, unix(7)                            at once
 *     setsockopt(2)  SO_BINDTODEVICE, socket(7)                      at once; getsockopt(2) reads it
 *     setsockopt(2)  TCP_USER_TIMEOUT, tcp(7)                        at once
 *     setsockopt(2)  SO_SNDBUFFORCE, socket(7)                       at once; takes CAP_NET_ADMIN
 *     setsockopt(2)  SO_REUSEPORT, SO_ATTACH_REUSEPORT_CBPF, socket(7)   at once
 *     sched_getaffinity(2), sched_setaffinity(2)   (processors.ts)      at once
 *     recvmmsg(2), sendmmsg(2), recvmsg(2), sendmsg(2)   (datagrams.ts)   at once, and they do not wait
 *     socket(2), bind(2), close(2) (udp-sockets.ts)                   at once
 *     io_uring(7), epoll(7)      (uring-exchange.ts, epoll-exchange.ts)   waits, for whoever has a thread of its own
 *     mmap(2), munmap(2)         of a ring's memory                  at once
 *     preadv2(2)     RWF_NOWAIT (cached-reads.ts)               at once: it does not wait
 *     adjtimex(2)    with nothing to set: STA_UNSYNC                 at once
 *
 * **Details** The functions are looked up in the running process, which has its C library loaded already, whichever that is. The numbers below
 * are those of the architectures named; elsewhere, or where the package was left out of the installation, there is nothing here.
 */
import { createRequire } from "node:module"
import type { Host } from "../../core/host.ts"
import { limits } from "../../core/limits.ts"
import { cachedReads } from "./cached-reads.ts"
import { type DatagramCalls, LibcDatagrams } from "./datagrams.ts"
import { type EpollCalls, EpollExchange } from "./epoll-exchange.ts"
import { keepToProcessors, processorRemainder, SOCK_FPROG_BYTES } from "./processors.ts"
import type { SocketCalls } from "./udp-sockets.ts"
import type { UringCalls } from "./uring.ts"
import { UringExchange } from "./uring-exchange.ts"

type OfFiles = "punchHole" | "nextData" | "readCached"
type OfSockets =
  | "peerCredentials"
  | "bindToDevice"
  | "boundDevice"
  | "unansweredMax"
  | "sendBufferMax"
  | "datagrams"
  | "datagramExchange"
  | "sharePort"
  | "shareByProcessor"
  | "keepToProcessors"
export type LibcCalls = { readonly [K in OfFiles | OfSockets | "clockSynchronised"]: NonNullable<Host[K]> }

const FALLOC_FL_KEEP_SIZE = 1
const FALLOC_FL_PUNCH_HOLE = 2
const SEEK_DATA = 3
const SEEK_HOLE = 4
const SOL_SOCKET = 1
const SO_PEERCRED = 17
const SO_BINDTODEVICE = 25
const SO_SNDBUFFORCE = 32
const SO_REUSEPORT = 15
const SO_ATTACH_REUSEPORT_CBPF = 51
const IPPROTO_TCP = 6
const TCP_USER_TIMEOUT = 18
const ENXIO = 6
const UCRED_BYTES = 12
const STA_UNSYNC = 0x40
/** struct timex with 64-bit longs, and where its status is. */
const TIMEX_BYTES = 208
const TIMEX_STATUS = 40
/** Of an interface's name, with its NUL. */
const IFNAMSIZ = 16

/** 64-bit offsets, and the socket options of asm-generic. */
const architectures: ReadonlyArray<string> = ["x64", "arm64", "riscv64"]

/** A second load in one process finds the first. Undefined where there are no such calls. */
export const loadLibc = (
  platform: string = process.platform,
  arch: string = process.arch,
  load: () => typeof import("koffi") = () => createRequire(import.meta.url)("koffi"),
): LibcCalls | undefined => {
  if (platform !== "linux" || !architectures.includes(arch)) return undefined
  try {
    return callsOf(load())
  } catch {
    return undefined
  }
}

const callsOf = (koffi: typeof import("koffi")): LibcCalls => {
  const libc = koffi.load(null)
  const fallocate = libc.func("int fallocate(int fd, int mode, int64_t offset, int64_t length)")
  const lseek = libc.func("int64_t lseek(int fd, int64_t offset, int whence)")
  const getsockopt = libc.func("int getsockopt(int fd, int level, int name, void *value, _Inout_ uint32_t *length)")
  const datagramCalls: DatagramCalls = {
    recvmmsg: libc.func("int recvmmsg(int fd, uintptr_t vector, uint32_t count, int flags, void *timeout)"),
    recvmsg: libc.func("int64_t recvmsg(int fd, uintptr_t header, int flags)"),
    sendmsg: libc.func("int64_t sendmsg(int fd, uintptr_t header, int flags)"),
    sendmmsg: libc.func("int sendmmsg(int fd, uintptr_t vector, uint32_t count, int flags)"),
    addressOf: koffi.address,
    errno: koffi.errno,
  }
  const adjtimex = libc.func("int adjtimex(_Inout_ void *timex)")
  const socketCalls: SocketCalls = {
    socket: libc.func("int socket(int domain, int type, int protocol)"),
    bind: libc.func("int bind(int fd, void *address, uint32_t bytes)"),
    close: libc.func("int close(int fd)"),
    errno: koffi.errno,
  }
  const epollCalls: EpollCalls = {
    create: libc.func("int epoll_create1(int flags)"),
    control: libc.func("int epoll_ctl(int epoll, int operation, int fd, void *event)"),
    wait: libc.func("int epoll_wait(int epoll, uintptr_t events, int count, int millis)"),
    ...socketCalls,
    addressOf: koffi.address,
  }
  const uringCalls: UringCalls & SocketCalls = {
    ...socketCalls,
    setup: libc.func("int64_t syscall(int64_t number, uint32_t entries, void *params)"),
    enter: libc.func(
      "int64_t syscall(int64_t number, int ring, uint32_t submit, uint32_t complete, uint32_t flags, uintptr_t argument, size_t bytes)",
    ),
    map: libc.func("void *mmap(void *at, size_t bytes, int protection, int flags, int fd, int64_t offset)"),
    unmap: libc.func("int munmap(void *at, size_t bytes)"),
    view: koffi.view,
    addressOf: koffi.address,
  }
  const preadv2 = libc.func("int64_t preadv2(int fd, uintptr_t vector, int count, int64_t offset, int flags)")
  const setsockopt = libc.func("int setsockopt(int fd, int level, int name, void *value, uint32_t length)")

  return {
    punchHole: (fd, offset, length) =>
      new Promise((resolve, reject) =>
        fallocate.async(
          fd,
          FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
          offset,
          length,
          (error: Error | null, result: number) => (error ? reject(error) : resolve(result === 0)),
        ),
      ),

    nextData(fd, offset) {
      const from = Number(lseek(fd, offset, SEEK_DATA))
      if (from >= 0) {
        const end = Number(lseek(fd, from, SEEK_HOLE))
        return { offset: from, end: end > from ? end : Number.MAX_SAFE_INTEGER }
      }
      // A file system that cannot tell has data everywhere.
      return koffi.errno() === ENXIO ? undefined : { offset, end: Number.MAX_SAFE_INTEGER }
    },

    readCached: cachedReads({ preadv2, addressOf: koffi.address }),

    peerCredentials(fd) {
      const ucred = Buffer.alloc(UCRED_BYTES)
      const length = [UCRED_BYTES]
      if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ucred, length) !== 0 || length[0] !== UCRED_BYTES) return undefined
      const inOrder = new Int32Array(ucred.buffer, ucred.byteOffset, 3)
      const [pid = 0, uid = 0, gid = 0] = inOrder
      // The kernel says 0 and -1, -1 for a socket that nobody connected through a path.
      return pid === 0 ? undefined : { pid, uid: uid >>> 0, gid: gid >>> 0 }
    },

    bindToDevice(fd, name) {
      const bytes = Buffer.from(`${name}\0`, "latin1")
      return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, bytes, bytes.length) === 0
    },

    unansweredMax: (fd, millis) =>
      setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, Uint32Array.of(millis), Uint32Array.BYTES_PER_ELEMENT) === 0,

    datagrams: (count, bytesMax) => new LibcDatagrams(datagramCalls, count, bytesMax),
    clockSynchronised() {
      const timex = Buffer.alloc(TIMEX_BYTES)
      if (adjtimex(timex) < 0) return undefined
      return (new Int32Array(timex.buffer, timex.byteOffset + TIMEX_STATUS, 1)[0]! & STA_UNSYNC) === 0
    },
    datagramExchange: (sockets, bytesMax) =>
      UringExchange.open(uringCalls, sockets, bytesMax) ??
      new EpollExchange(epollCalls, new LibcDatagrams(datagramCalls, limits.datagramsTogether, bytesMax), bytesMax),

    // Not SO_SNDBUF: what it cuts to net.core.wmem_max stays cut, where the kernel's own choice would be better.
    sendBufferMax: (fd, bytes) =>
      setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, Uint32Array.of(bytes), Uint32Array.BYTES_PER_ELEMENT) === 0,

    sharePort: (fd) => setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, Uint32Array.of(1), Uint32Array.BYTES_PER_ELEMENT) === 0,

    shareByProcessor(fd, sockets) {
      const program = processorRemainder(sockets, koffi.address)
      return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, program, SOCK_FPROG_BYTES) === 0
    },

    keepToProcessors: keepToProcessors({
      getaffinity: libc.func("int sched_getaffinity(int thread, size_t bytes, void *set)"),
      setaffinity: libc.func("int sched_setaffinity(int thread, size_t bytes, void *set)"),
    }),

    boundDevice(fd) {
      const name = Buffer.alloc(IFNAMSIZ)
      const length = [IFNAMSIZ]
      if (getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, length) !== 0) return undefined
      return name.toString("latin1", 0, Math.max(0, (length[0] ?? 0) - 1))
    },
  }
}
