import * as fs from "node:fs/promises"
import { type AddressInfo, createServer, type Server, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { sampleBytes, storagePluginSuite } from "imagelink/conformance/storage-plugin"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import remote from "../../../plugins/remote/index.ts"
import { startNbd } from "../../support/nbd-server.ts"
import { bytesAt, openRemoteVolume, refusalOf } from "../../support/remote.ts"

let folder: string
beforeAll(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), "imagelink-remote-nbd-"))
})
afterAll(() => fs.rm(folder, { recursive: true, force: true }))

storagePluginSuite(
  { describe, it },
  {
    plugin: remote,
    async sample() {
      const served = await startNbd({ sizeBytes: 204_800 })
      const bytes = sampleBytes(204_800)
      served.image.bytes.set(bytes)
      return { config: { url: served.imageUri }, bytes, release: served.stop }
    },
    refused: [
      { url: "nbd:///export" },
      { url: "nbd://server/export?tls=1" },
      { url: "nbds://server/export" },
      { url: "nbd+unix:///export?socket=/run/nbd" },
      { url: "nbd://server/export", credentials: "env:KEY" },
      { url: "nbd://server/export", endpoint: "http://server" },
    ],
  },
)

describe("an export of another Imagelink", () => {
  it("is read whole, and is missing where there is none", async () => {
    const served = await startNbd({ sizeBytes: 8 * 1024 * 1024 })
    const bytes = sampleBytes(8 * 1024 * 1024)
    served.image.bytes.set(bytes)
    const volume = await openRemoteVolume({ url: served.imageUri })
    expect(Buffer.compare(await bytesAt(volume, 0, bytes.length), bytes)).toBe(0)
    await volume.close()
    expect(await refusalOf(openRemoteVolume({ url: `${served.imageUri}x` }))).toContain("IMAGE_FILE_NOT_FOUND")
    await served.stop()
  })

  it("is not kept for the next opening, unless it is said to be immutable", async () => {
    const served = await startNbd({ sizeBytes: 1024 * 1024 })
    const read = async (config: object) => {
      const volume = await openRemoteVolume({ url: served.imageUri, cache: join(folder, "kept"), ...config })
      const [first] = await bytesAt(volume, 0, 1)
      await volume.close()
      return first
    }
    served.image.bytes[0] = 1
    expect([await read({}), await read({ immutable: true })]).toEqual([1, 1])
    served.image.bytes[0] = 2
    expect([await read({}), await read({ immutable: true })]).toEqual([2, 1])
    await served.stop()
  })
})

/** What a server says from its first byte on, and what it does when the client has spoken. */
const scripted = async (
  ...steps: ReadonlyArray<Buffer>
): Promise<{ server: Server; url: string; close(): Promise<void> }> => {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on("error", () => undefined)
    const [greeting, ...answers] = steps
    if (greeting !== undefined) socket.write(greeting)
    socket.on("data", () => socket.write(answers.shift() ?? Buffer.alloc(0)))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const close = async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  }
  return { server, url: `nbd://127.0.0.1:${(server.address() as AddressInfo).port}/disk`, close }
}

const hex = (text: string) => Buffer.from(text.replaceAll(/\s/g, ""), "hex")
const greeting = hex("4e42444d41474943 49484156454f5054 0003")
const info = hex("0003e889045565a9 00000007 00000003 0000000c  0000 0000000000020000 0003")
const ack = hex("0003e889045565a9 00000007 00000001 00000000")

describe("a server that breaks the protocol", () => {
  const config = { readMillis: 400 }
  const opening = async (...steps: ReadonlyArray<Buffer>) => {
    const { url, close } = await scripted(...steps)
    const said = await refusalOf(openRemoteVolume({ url, ...config }).then((volume) => volume.close()))
    await close()
    return said.replace(url, "URL").split(": ").slice(1).join(": ")
  }

  it("opens as it should when it does not, for comparison", async () => {
    expect(await opening(greeting, Buffer.concat([info, ack]))).toBe("")
  })

  it("is refused by what is wrong with it", async () => {
    const cannot = "URL cannot be served as an image: "
    expect(await opening(Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"))).toBe(
      `${cannot}what answers there is no NBD server of the newstyle protocol`,
    )
    expect(await opening(hex("4e42444d41474943 49484156454f5054 0000"))).toBe(
      `${cannot}its server speaks an NBD protocol older than fixed newstyle`,
    )
    expect(await opening(greeting, ack)).toBe(`${cannot}its server does not tell its size`)
    expect(await opening(greeting, hex("0003e889045565a9 00000007 80000001 00000000"))).toBe(
      `${cannot}its server lacks NBD_OPT_GO`,
    )
    expect(await opening(greeting, hex("0003e889045565a9 00000007 80000005 00000000"))).toBe(
      `${cannot}its server wants TLS, which is not spoken here`,
    )
    expect(await opening(greeting, hex("0003e889045565a9 00000007 80000002 00000002 6e6f"))).toBe(
      `${cannot}its server does not let this machine open it: no`,
    )
    expect(await opening(greeting, hex("0003e889045565a9 00000007 00000003 ffffffff"))).toBe(
      `${cannot}its server breaks the NBD protocol`,
    )
    const strange = hex("0003e889045565a9 00000007 00000003 0000000e  0003 00000003 00001000 00010000")
    expect(await opening(greeting, Buffer.concat([info, strange, ack]))).toBe(
      `${cannot}its server takes reads of 3 to 65536 bytes only`,
    )
  })

  it("is given up at the deadline when it says nothing, or goes away", async () => {
    expect(await opening()).toBe("cannot read URL now: there was no answer in time")
    expect(await opening(greeting, info.subarray(0, 10))).toBe("cannot read URL now: there was no answer in time")
  })

  it("loses the connection with an answer to nothing, and the read fails at its deadline", async () => {
    const stray = hex("67446698 00000000 00000000000000ff")
    const { url, close } = await scripted(greeting, Buffer.concat([info, ack]), stray)
    const volume = await openRemoteVolume({ url, ...config })
    expect(await refusalOf(bytesAt(volume, 0, 512))).toContain("REMOTE_UNREACHABLE")
    await volume.close()
    await close()
  })
})

describe("a server that is replaced by one with another size", () => {
  it("is refused as changed", async () => {
    const first = await startNbd({ sizeBytes: 1024 * 1024 })
    const port = first.server.port
    const volume = await openRemoteVolume({ url: first.imageUri, readMillis: 5000 })
    await bytesAt(volume, 0, 512)
    await first.stop()
    const smaller = hex("0003e889045565a9 00000007 00000003 0000000c  0000 0000000000010000 0003")
    const second = createServer((socket) => {
      socket.on("error", () => undefined)
      socket.write(greeting)
      socket.on("data", () => socket.write(Buffer.concat([smaller, ack])))
    })
    await new Promise<void>((resolve) => second.listen(port, "127.0.0.1", resolve))
    expect(await refusalOf(bytesAt(volume, 524_288, 512))).toContain("it had 1048576 bytes and has 65536")
    await volume.close()
    await new Promise((resolve) => second.close(resolve))
  })
})
