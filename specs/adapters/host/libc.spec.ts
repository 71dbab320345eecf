import { execFileSync } from "node:child_process"
import { once } from "node:events"
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statfsSync,
  writeSync,
} from "node:fs"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { loadLibc } from "../../../adapters/host/libc.ts"
import { requires } from "../../support/requires.ts"

const MiB = 2 ** 20
/** Its files have no other place than memory (statfs(2)). */
const TMPFS_MAGIC = 0x0102_1994
const libc = loadLibc()
const here = describe.skipIf(process.platform !== "linux")
const dir = mkdtempSync(join(tmpdir(), "imagelink-libc-"))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

let made = 0
const withFile = async (work: (fd: number) => Promise<void> | void) => {
  const fd = openSync(join(dir, `file-${made++}`), "w+")
  try {
    await work(fd)
  } finally {
    closeSync(fd)
  }
}

describe("there are no calls", () => {
  const never = () => {
    throw new Error("it was loaded")
  }

  it("on another system or an architecture whose numbers are not known", () => {
    expect(loadLibc("win32", "x64", never)).toBeUndefined()
    expect(loadLibc("linux", "mips", never)).toBeUndefined()
  })

  it("where the package is missing", () => {
    expect(loadLibc("linux", "x64", never)).toBeUndefined()
  })
})

here("what the page cache has", () => {
  it("is read at once, to its place in the buffer and nowhere else", () =>
    withFile((fd) => {
      writeSync(fd, Buffer.from("0123456789".repeat(1000)))
      const into = new Uint8Array(new SharedArrayBuffer(100), 10, 50)
      expect(libc!.readCached(fd, into, 3, 5, 9004)).toBe(5)
      expect(Buffer.from(into).toString("latin1")).toBe(`${"\0".repeat(3)}45678${"\0".repeat(42)}`)
      expect(new Uint8Array(into.buffer, 0, 10).every((b) => b === 0)).toBe(true)
      const small = new Uint8Array(4)
      expect([libc!.readCached(fd, small, 0, 4, 0), ...small]).toEqual([4, 0x30, 0x31, 0x32, 0x33])
    }))

  it("is less than was asked for at the end of a file, and nothing behind it", () =>
    withFile((fd) => {
      writeSync(fd, Buffer.alloc(10, 1))
      const into = Buffer.alloc(20)
      expect(libc!.readCached(fd, into, 0, 20, 4)).toBe(6)
      expect(libc!.readCached(fd, into, 0, 20, 10)).toBe(0)
    }))

  it("is nothing of what is on the disk alone: not all of it is waited for, and what comes is right", () =>
    withFile((fd) => {
      const path = join(dir, `file-${made - 1}`)
      const places = 64
      writeSync(fd, Buffer.alloc(places * MiB, 7))
      // Asking starts the kernel's read-ahead, which a fast disk may have done before the kernel looks again; and it need not drop every page.
      execFileSync("dd", [`of=${path}`, "oflag=nocache", "conv=notrunc,fdatasync", "count=0", "status=none"])
      const into = Buffer.alloc(4096)
      let had = 0
      for (let place = places - 1; place >= 0; place--) {
        const got = libc!.readCached(fd, into.fill(0), 0, 4096, place * MiB + MiB / 2)
        expect([-1, 0, 4096]).toContain(got)
        expect(into.every((b) => b === (got === 4096 ? 7 : 0))).toBe(true)
        had += got === 4096 ? 1 : 0
      }
      if (statfsSync(dir).type === TMPFS_MAGIC) expect(had).toBe(places)
      else expect(had).toBeLessThan(places)
    }))

  it("is nothing of no file, and of no room", () =>
    withFile((fd) => {
      writeSync(fd, Buffer.alloc(4096, 7))
      const into = Buffer.alloc(4096)
      expect(libc!.readCached(-1, into, 0, 4096, 0)).toBe(-1)
      expect(libc!.readCached(fd, into, 1, 4096, 0)).toBe(-1)
      const taken = structuredClone(into.buffer, { transfer: [into.buffer] })
      expect(libc!.readCached(fd, into, 0, 4096, 0)).toBe(-1)
      expect(new Uint8Array(taken).every((b) => b === 0)).toBe(true)
    }))
})

here("a hole", () => {
  it("gives its space back, reads as zeros, and leaves its neighbours and the size", () =>
    withFile(async (fd) => {
      writeSync(fd, Buffer.alloc(2 * MiB, 7))
      const before = fstatSync(fd).blocks
      expect(await libc!.punchHole(fd, MiB / 2, MiB)).toBe(true)
      expect(before - fstatSync(fd).blocks).toBe(MiB / 512)
      expect(fstatSync(fd).size).toBe(2 * MiB)
      const bytes = Buffer.alloc(2 * MiB)
      readSync(fd, bytes, 0, bytes.length, 0)
      const [head, hole, tail] = [
        bytes.subarray(0, MiB / 2),
        bytes.subarray(MiB / 2, 1.5 * MiB),
        bytes.subarray(1.5 * MiB),
      ]
      expect([head, hole, tail].map((part, i) => part.every((b) => b === (i === 1 ? 0 : 7)))).toEqual([
        true,
        true,
        true,
      ])
    }))

  it("beyond 4 GiB is punched where it was asked for", () =>
    withFile(async (fd) => {
      const at = 5 * 2 ** 30
      writeSync(fd, Buffer.alloc(8192, 1), 0, 8192, at)
      expect(await libc!.punchHole(fd, at, 4096)).toBe(true)
      expect(libc!.nextData(fd, 0)).toEqual({ offset: at + 4096, end: at + 8192 })
    }))

  it("cannot be punched in what is no file, and answers so", async () => {
    expect(await libc!.punchHole(-1, 0, 4096)).toBe(false)
    const fd = openSync("/dev/null", "w")
    expect(await libc!.punchHole(fd, 0, 4096)).toBe(false)
    closeSync(fd)
  })
})

here("the next data", () => {
  it("is none in an empty file, in a hole at the end, and at the end", () =>
    withFile((fd) => {
      expect(libc!.nextData(fd, 0)).toBeUndefined()
      ftruncateSync(fd, MiB)
      expect(libc!.nextData(fd, 0)).toBeUndefined()
      expect(libc!.nextData(fd, MiB)).toBeUndefined()
      expect(libc!.nextData(fd, 2 * MiB)).toBeUndefined()
    }))

  it("begins where it is asked for inside a run, and ends at the next hole", () =>
    withFile((fd) => {
      ftruncateSync(fd, 8 * MiB)
      writeSync(fd, Buffer.alloc(MiB, 1), 0, MiB, 2 * MiB)
      expect(libc!.nextData(fd, 0)).toEqual({ offset: 2 * MiB, end: 3 * MiB })
      expect(libc!.nextData(fd, 2 * MiB + 512)).toEqual({ offset: 2 * MiB + 512, end: 3 * MiB })
      expect(libc!.nextData(fd, 3 * MiB)).toBeUndefined()
    }))

  it("is everything where nobody can tell", () => {
    expect(libc!.nextData(-1, 4096)).toEqual({ offset: 4096, end: Number.MAX_SAFE_INTEGER })
  })
})

const fdOf = (socket: Socket): number => (socket as unknown as { _handle: { fd: number } })._handle.fd

here("a peer's credentials", () => {
  it("are the process, user and group that connected to a unix socket", async () => {
    const path = join(dir, "s")
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(path, resolve))
    const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve))
    const client = connect(path)
    const socket = await accepted
    const own = { pid: process.pid, uid: process.getuid!(), gid: process.getgid!() }
    expect(libc!.peerCredentials(fdOf(socket))).toEqual(own)
    expect(libc!.peerCredentials(fdOf(client))).toEqual(own)
    client.destroy()
    socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })

  it("are not known of a TCP socket, a file, or nothing", async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    expect(libc!.peerCredentials(fdOf(server as unknown as Socket))).toBeUndefined()
    await new Promise((resolve) => server.close(resolve))
    await withFile((fd) => expect(libc!.peerCredentials(fd)).toBeUndefined())
    expect(libc!.peerCredentials(-1)).toBeUndefined()
  })
})

const listening = async (work: (fd: number, port: number) => Promise<void> | void) => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  try {
    await work(fdOf(server as unknown as Socket), (server.address() as AddressInfo).port)
  } finally {
    await new Promise((resolve) => server.close(resolve))
  }
}

here("binding to a device", () => {
  it("works with the loopback device where that is allowed", () =>
    listening((fd) => {
      const allowed = process.getuid!() === 0
      if (allowed) expect(libc!.bindToDevice(fd, "lo")).toBe(true)
      else expect([true, false]).toContain(libc!.bindToDevice(fd, "lo"))
    }))

  it("is refused for a device that there is not, and for what is no socket", async () => {
    await listening((fd) => expect(libc!.bindToDevice(fd, "no-such-dev0")).toBe(false))
    expect(libc!.bindToDevice(-1, "lo")).toBe(false)
  })
})

here("how long something may be unanswered", () => {
  it("is set for a TCP listener, and refused for what is none", async () => {
    await listening((fd) => expect(libc!.unansweredMax(fd, 20_000)).toBe(true))
    await withFile((fd) => expect(libc!.unansweredMax(fd, 20_000)).toBe(false))
    expect(libc!.unansweredMax(-1, 20_000)).toBe(false)
  })
})

const ss = requires("ss", "iproute2", "libc.spec.ts")

here("how much of what was sent the system holds", () => {
  it.skipIf(ss.skip || process.getuid?.() !== 0)(
    "is bounded for connections that a listener takes from then on",
    async () => {
      await listening(async (fd, port) => {
        expect(libc!.sendBufferMax(fd, 384 * 1024)).toBe(true)
        const client = connect(port, "127.0.0.1")
        await once(client, "connect")
        const told = execFileSync("ss", ["-tmnH", "state", "established", "sport", "=", `:${port}`]).toString()
        client.destroy()
        await once(client, "close")
        // socket(7): the kernel doubles what is asked for.
        expect(told).toContain(`,tb${2 * 384 * 1024},`)
      })
    },
  )

  it("is set for a TCP listener by who may, and refused for what is none", async () => {
    await listening((fd) => {
      if (process.getuid?.() === 0) expect(libc!.sendBufferMax(fd, 384 * 1024)).toBe(true)
      else expect([true, false]).toContain(libc!.sendBufferMax(fd, 384 * 1024))
    })
    await withFile((fd) => expect(libc!.sendBufferMax(fd, 384 * 1024)).toBe(false))
    expect(libc!.sendBufferMax(-1, 384 * 1024)).toBe(false)
  })
})

it("a process that asks for none of this does not load the library", () => {
  const script = `
    const { linuxHost } = await import("./adapters/host/linux.ts")
    const host = linuxHost()
    host.bootId(); host.userName(); host.memoryAvailableBytes()
    const { createRequire } = await import("node:module")
    console.log(Object.keys(createRequire(import.meta.url).cache).filter((f) => f.includes("koffi")).length)`
  const said = execFileSync(process.execPath, ["--conditions=source", "--input-type=module", "-e", script])
  expect(String(said).trim()).toBe("0")
})
