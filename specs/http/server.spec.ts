/** The server over raw sockets: methods, ranges, lengths, names, and clients that misbehave. */
import { once } from "node:events"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { describeHttpEvent, type HttpEvent } from "../../adapters/http/events.ts"
import { type HttpServer, type HttpServerInput, listenHttp } from "../../adapters/http/server.ts"
import { type BootFiles, folderFiles } from "../../core/runtime/boot-files.ts"
import type { ScriptAsked } from "../../core/runtime/boot-scripts.ts"
import { patterned } from "../support/random.ts"

const folder = mkdtempSync(join(tmpdir(), "imagelink-http-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const large = patterned(700_001, 3)
mkdirSync(join(folder, "boot", "EFI"), { recursive: true })
writeFileSync(join(folder, "boot", "small.txt"), "0123456789")
writeFileSync(join(folder, "boot", "snponly.efi"), large)
writeFileSync(join(folder, "boot", "empty"), "")
writeFileSync(join(folder, "boot", "EFI", "with space.iso"), "iso")
writeFileSync(join(folder, "secret"), "secret")

const asked: Array<ScriptAsked> = []
const events: Array<HttpEvent> = []
const servers: Array<HttpServer> = []
const serve = async (more: Partial<HttpServerInput> = {}): Promise<HttpServer> => {
  const scripts = {
    script: async (a: ScriptAsked) => {
      asked.push(a)
      return "#!ipxe\necho hello\n"
    },
  }
  const files = folderFiles(join(folder, "boot"))
  const onEvent = (e: HttpEvent) => void events.push(e)
  const server = await listenHttp({ address: "127.0.0.1", port: 0, files, scripts, onEvent, ...more })
  servers.push(server)
  return server
}
let server: HttpServer
beforeAll(async () => {
  server = await serve()
})
afterAll(async () => {
  for (const s of servers) await s.close()
})
afterEach(() => {
  asked.length = 0
  events.length = 0
})

/** Sends bytes and answers all that comes until the server ends the connection. */
const exchange = async (sent: string, to = server): Promise<Buffer> => {
  const socket = connect(to.port, "127.0.0.1")
  const got: Array<Buffer> = []
  socket.on("data", (d) => got.push(d))
  socket.on("error", () => {})
  socket.write(sent)
  await once(socket, "close")
  return Buffer.concat(got)
}
interface Got {
  readonly status: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}
const parse = (bytes: Buffer): Got => {
  const end = bytes.indexOf("\r\n\r\n")
  const [status = "", ...rest] = bytes.subarray(0, end).toString("latin1").split("\r\n")
  const headers = Object.fromEntries(
    rest.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 2)]),
  )
  return { status, headers, body: bytes.subarray(end + 4) }
}
const request = async (line: string, headers = "", to = server): Promise<Got> =>
  parse(await exchange(`${line} HTTP/1.1\r\nHost: 192.0.2.1:8080\r\nConnection: close\r\n${headers}\r\n`, to))

describe("a file", () => {
  it("comes whole, with its exact length and the type that firmware wants", async () => {
    const { status, headers, body } = await request("GET /snponly.efi")
    expect({ status, type: headers["content-type"], length: headers["content-length"] }).toEqual({
      status: "HTTP/1.1 200 OK",
      type: "application/efi",
      length: "700001",
    })
    expect(headers["transfer-encoding"]).toBeUndefined()
    expect(body.equals(large)).toBe(true)
  })

  it("is announced by HEAD as it would come, without coming", async () => {
    const { status, headers, body } = await request("HEAD /snponly.efi", "User-Agent: UefiHttpBoot/1.0\r\n")
    expect([status, headers["content-length"], headers["accept-ranges"], body.length]).toEqual([
      "HTTP/1.1 200 OK",
      "700001",
      "bytes",
      0,
    ])
  })

  it.each([
    ["bytes=0-0", "206", "bytes 0-0/10", "0"],
    ["bytes=9-9", "206", "bytes 9-9/10", "9"],
    ["bytes=3-", "206", "bytes 3-9/10", "3456789"],
    ["bytes=8-100", "206", "bytes 8-9/10", "89"],
    ["bytes=-3", "206", "bytes 7-9/10", "789"],
    ["bytes=-100", "206", "bytes 0-9/10", "0123456789"],
    ["bytes=10-", "416", "bytes */10", ""],
    ["bytes=-0", "416", "bytes */10", ""],
    ["bytes=5-4", "200", undefined, "0123456789"],
    ["bytes=0-1,3-4", "200", undefined, "0123456789"],
    ["bytes=-", "200", undefined, "0123456789"],
    ["lines=0-1", "200", undefined, "0123456789"],
  ])("answers %s with %s", async (range, code, told, text) => {
    const { status, headers, body } = await request("GET /small.txt", `Range: ${range}\r\n`)
    expect([status.split(" ")[1], headers["content-range"], headers["content-length"], body.toString()]).toEqual([
      code,
      told,
      String(text.length),
      text,
    ])
  })

  it("may be empty, and of nothing there is no part", async () => {
    expect((await request("GET /empty")).headers["content-length"]).toBe("0")
    expect((await request("GET /empty", "Range: bytes=0-\r\n")).status).toContain("416")
  })

  it.each([
    ["/EFI/with%20space.iso", "200"],
    ["//EFI//with%20space.iso", "200"],
    ["/EFI%5Cwith%20space.iso", "200"],
    ["/small.txt?x=1", "200"],
    ["http://192.0.2.1/small.txt", "200"],
    ["/nothing", "404"],
    ["/EFI", "404"],
    ["/../secret", "403"],
    ["/%2e%2e/secret", "403"],
    ["/EFI/..%5c..%5csecret", "403"],
    ["/small.txt%00.efi", "403"],
    ["/%zz", "400"],
    ["*", "400"],
  ])("named %s is answered %s", async (name, code) => {
    expect((await request(`GET ${name}`)).status.split(" ")[1]).toBe(code)
  })

  it("is never written", async () => {
    for (const method of ["PUT", "POST", "DELETE", "OPTIONS"]) {
      const { status, headers } = await request(`${method} /small.txt`, "Content-Length: 0\r\n")
      expect([status, headers.allow]).toEqual(["HTTP/1.1 405 Method Not Allowed", "GET, HEAD"])
    }
  })

  it("comes again on the same connection", async () => {
    const one = "GET /small.txt HTTP/1.1\r\nHost: x\r\n\r\n"
    const last = "GET /small.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    expect((await exchange(one + one + last)).toString().split("0123456789").length).toBe(4)
  })
})

describe("a script", () => {
  it("is rendered for the MAC in the name, in any spelling, with what the server knows of who asks", async () => {
    for (const name of ["52-54-00-00-00-0a", "52:54:00:00:00:0A", "52540000000a"]) {
      const { headers, body } = await request(`GET /boot/${name}.ipxe`)
      expect([headers["content-type"], body.toString()]).toEqual(["text/plain; charset=utf-8", "#!ipxe\necho hello\n"])
    }
    const expected: ScriptAsked = {
      mac: "52:54:00:00:00:0a",
      peer: "127.0.0.1",
      local: "127.0.0.1",
      server: "192.0.2.1",
      http: "http://192.0.2.1:8080",
      choice: "",
      head: false,
    }
    expect(asked).toEqual([expected, expected, expected])
  })

  it("is only looked at with ?preview, and then no choice is taken", async () => {
    await request("GET /boot/52-54-00-00-00-0a.ipxe?preview")
    await request("GET /boot/52-54-00-00-00-0a.ipxe?preview=1")
    expect(asked.map(({ preview, choice, head }) => [preview, choice, head])).toEqual([
      [true, "", false],
      [undefined, "preview=1", false],
    ])
  })

  it("is only measured by HEAD, and has no parts", async () => {
    const { headers, body } = await request("HEAD /boot/52-54-00-00-00-0a.ipxe?image=win11")
    expect([headers["content-length"], body.length, asked[0]?.head, asked[0]?.choice]).toEqual([
      "18",
      0,
      true,
      "image=win11",
    ])
    expect((await request("GET /boot/52-54-00-00-00-0a.ipxe", "Range: bytes=0-1\r\n")).body.length).toBe(18)
  })

  it("is told the model of the computer beside what was chosen", async () => {
    await request("GET /boot/52-54-00-00-00-0a.ipxe?product=20HDA000&manufacturer=LENOVO&image=win11")
    expect([asked[0]?.choice, asked[0]?.model]).toEqual([
      "image=win11",
      { product: "20HDA000", manufacturer: "LENOVO" },
    ])
  })

  it("is not there for what is no MAC of a computer", async () => {
    for (const name of ["pc-001", "52-54-00-00-00", "00-00-00-00-00-00", "ff-ff-ff-ff-ff-ff"])
      expect((await request(`GET /boot/${name}.ipxe`)).status).toContain("404")
    expect(asked).toEqual([])
  })

  it.each(["/autoexec.ipxe", "/EFI/autoexec.ipxe", "/no/such/folder/AUTOEXEC.IPXE"])(
    "leads there from %s",
    async (at) => {
      const { body } = await request(`GET ${at}`)
      expect(body.toString()).toContain(
        `chain --replace --autofree http://192.0.2.1:8080/boot/\${netX/mac:hexhyp}.ipxe?product=\${product:uristring}&manufacturer=\${manufacturer:uristring} ||`,
      )
    },
  )

  it("never repeats what a client says its host is, unless that is a name", async () => {
    const sent = `GET /autoexec.ipxe HTTP/1.1\r\nHost: x || shell \${mac}\r\nConnection: close\r\n\r\n`
    expect((await exchange(sent)).toString()).toContain(`http://127.0.0.1:${server.port}/boot/`)
  })
})

describe("a client that misbehaves", () => {
  it("is told that its header is too long", async () => {
    const { status } = parse(await exchange(`GET / HTTP/1.1\r\nX: ${"a".repeat(20_000)}\r\n\r\n`))
    expect(status).toBe("HTTP/1.1 431 Request Header Fields Too Large")
  })

  it("is told that what it says is no HTTP", async () => {
    expect(parse(await exchange("\x16\x03\x01nonsense\r\n\r\n")).status).toBe("HTTP/1.1 400 Bad Request")
  })

  it("is cut off when its header does not arrive, or when it takes nothing", async () => {
    const strict = await serve({ limits: { headerMillisMax: 50, silenceMillisMax: 200 } })
    await exchange("GET /small.txt HT", strict)
    let closed = 0
    const endless: BootFiles = {
      open: async () => ({
        sizeBytes: 2 ** 40,
        read: async (_, length) => Buffer.alloc(length),
        close: async () => void closed++,
      }),
    }
    const slow = await serve({ files: endless, limits: { silenceMillisMax: 200 } })
    const socket = connect(slow.port, "127.0.0.1")
    socket.on("error", () => {})
    socket.write("GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
    socket.pause()
    for (let i = 0; closed === 0 && i < 3000; i++) await new Promise((r) => setTimeout(r, 10))
    expect(closed).toBe(1)
    socket.destroy()
  })

  it("waits outside when there are too many", async () => {
    const narrow = await serve({ limits: { connectionsMax: 1 } })
    const first = connect(narrow.port, "127.0.0.1")
    await once(first, "connect")
    expect((await exchange("GET /small.txt HTTP/1.1\r\nHost: x\r\n\r\n", narrow)).length).toBe(0)
    first.destroy()
  })
})

describe("the server", () => {
  it("answers 500 and reports it when a file cannot be opened, without telling the client why", async () => {
    const broken: BootFiles = { open: () => Promise.reject(new Error("/secret/path")) }
    const at = await serve({ files: broken })
    const { status, body } = await request("GET /x", "", at)
    expect([status, body.length]).toEqual(["HTTP/1.1 500 Internal Server Error", 0])
    expect(events.map(describeHttpEvent)).toEqual([{ level: "error", text: "http 127.0.0.1 GET /x: /secret/path" }])
  })

  it("refuses a port that is taken, and closes once however often it is asked", async () => {
    await expect(serve({ port: server.port })).rejects.toMatchObject({ code: "PORT_IN_USE" })
    const short = await serve()
    await Promise.all([short.close(), short.close()])
  })
})
