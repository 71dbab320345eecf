/** What HTTP servers, caches and networks do to a reader of ranges; every refusal is compared word for word. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { systemClock } from "../../../plugins/remote/clock.ts"
import { remotePlugin } from "../../../plugins/remote/index.ts"
import { randomFrom, sampleBytes } from "../../conformance/support/bytes.ts"
import { noise } from "../../support/nbd-server.ts"
import { type Fault, type ObjectServer, objectServer } from "../../support/object-server.ts"
import { bytesAt, openRemoteVolume, refusalOf } from "../../support/remote.ts"

const KiB = 1024
const MiB = 1024 * KiB
const bytes = sampleBytes(4 * MiB)
const content = noise(16 * MiB, 5)
let server: ObjectServer
let made = 0

beforeAll(async () => {
  server = await objectServer()
})
afterAll(() => server.stop())
afterEach(() => {
  server.fault = () => undefined
})

/** A new object, and the requests that were made for it. */
const fresh = (headers?: Readonly<Record<string, string>>, content = bytes) => {
  const path = `/disk-${made++}.raw`
  const object = server.put(path, content, headers)
  const requests = () => server.requests.filter((line) => line.includes(` ${path} `)).map((line) => line.split(" ")[2])
  const ranges = () => requests().filter((range) => range !== "bytes=0-0")
  return { path, object, url: `${server.origin}${path}`, requests, ranges }
}
const opening = async (config: object) => {
  const volume = await openRemoteVolume(config as Readonly<Record<string, unknown>>)
  await volume.close()
  return "opened"
}
const same = (got: Buffer, offset: number, content = bytes) =>
  expect(Buffer.compare(got, content.subarray(offset, offset + got.length))).toBe(0)
const cannot = (url: string) => `REMOTE_REFUSED: ${url} cannot be served as an image`

describe("an object", () => {
  it("that was changed is refused by name, and what was read before stays what it was", async () => {
    const { url, object } = fresh({ etag: '"a"' })
    const volume = await openRemoteVolume({ url })
    same(await bytesAt(volume, 0, 512), 0)
    object.bytes = sampleBytes(4 * MiB, { seed: 2 })
    object.headers = { etag: '"b"' }
    expect(await refusalOf(bytesAt(volume, MiB, 512))).toBe(
      `REMOTE_CHANGED: ${url} was changed after it was opened (its ETag was "a" and is "b"): something replaced the object; its clients would see a mixture of both`,
    )
    same(await bytesAt(volume, 0, 512), 0)
    object.bytes = bytes
    object.headers = { etag: '"a"' }
    same(await bytesAt(volume, MiB, 512), MiB)
    await volume.close()
  })

  it("that was changed is refused also where a cache on the way forgets the condition", async () => {
    const { url, object } = fresh({ etag: '"a"' })
    const volume = await openRemoteVolume({ url })
    server.fault = (request) => {
      delete request.headers["if-range"]
      return undefined
    }
    object.headers = { etag: '"b"' }
    expect(await refusalOf(bytesAt(volume, 0, 512))).toContain("REMOTE_CHANGED: ")
    object.headers = { etag: '"a"' }
    object.bytes = bytes.subarray(0, 3 * MiB)
    expect(await refusalOf(bytesAt(volume, 0, 512))).toContain("it had 4194304 bytes and has 3145728")
    expect(await refusalOf(bytesAt(volume, 4 * MiB - 512, 512))).toContain("it has 3145728 bytes, not 4194304")
    await volume.close()
  })

  it("has its validator and size for identity", async () => {
    const modified = { "last-modified": "Sat, 21 Nov 2026 10:00:00 GMT" }
    for (const [headers, identity] of [
      [{ etag: '"a"', ...modified }, { etag: '"a"' }],
      [{ etag: 'W/"a"', ...modified }, { lastModified: "Sat, 21 Nov 2026 10:00:00 GMT" }],
      [modified, { lastModified: "Sat, 21 Nov 2026 10:00:00 GMT" }],
    ] as const) {
      const volume = await openRemoteVolume({ url: fresh(headers).url })
      expect(await volume.identity()).toEqual({ ...identity, sizeBytes: "4194304" })
      same(await bytesAt(volume, MiB - 1, 2), MiB - 1)
      await volume.close()
    }
  })

  it("with a long validator has its hash for identity", async () => {
    const volume = await openRemoteVolume({ url: fresh({ etag: `"${"a".repeat(300)}"` }).url })
    expect((await volume.identity()).etag).toMatch(/^sha256:[0-9a-f]{64}$/)
    await volume.close()
  })

  it("without a validator is refused, unless it is said to be immutable", async () => {
    for (const headers of [{}, { etag: 'W/"a"' }, { etag: "a" }, { "last-modified": new Date().toUTCString() }]) {
      const { url } = fresh(headers as Readonly<Record<string, string>>)
      expect(await refusalOf(opening({ url }))).toBe(
        `${cannot(url)}: its server gives neither a strong ETag nor a Last-Modified that is a second old, so a change would not be seen`,
      )
      expect(await opening({ url, immutable: true })).toBe("opened")
    }
  })

  it("that is empty is no disk", async () => {
    const { url } = fresh(undefined, new Uint8Array(0))
    expect(await refusalOf(opening({ url }))).toBe(`IMAGE_NOT_A_DISK: ${url} is not a disk image: it is empty`)
  })
})

describe("a server", () => {
  it("that ignores Range is refused by name, at once and later", async () => {
    const { url } = fresh()
    server.fault = () => "whole"
    const refusal = `${cannot(url)}: its server ignores Range and answers the whole object`
    expect(await refusalOf(opening({ url }))).toBe(refusal)
    server.fault = () => undefined
    const volume = await openRemoteVolume({ url })
    server.fault = () => "whole"
    expect(await refusalOf(bytesAt(volume, 0, 512))).toBe(refusal)
    await volume.close()
  })

  it("that packs bodies, or parts them, is refused", async () => {
    const packed = fresh({ etag: '"a"', "content-encoding": "gzip" })
    expect(await refusalOf(opening({ url: packed.url }))).toBe(
      `${cannot(packed.url)}: its server packs it (Content-Encoding: gzip)`,
    )
    const parts = fresh({ etag: '"a"', "content-type": "multipart/byteranges; boundary=x" })
    expect(await refusalOf(opening({ url: parts.url }))).toContain("answers one range in several parts")
  })

  it("that says no is quoted: 404 and 410, 401 and 403, anything else", async () => {
    const { url } = fresh()
    const said = async (status: number) => {
      server.fault = () => ({ status })
      return (await refusalOf(opening({ url, readMillis: 300 }))).replace(url, "URL")
    }
    expect((await said(404)).slice(0, 20)).toBe("IMAGE_FILE_NOT_FOUND")
    expect((await said(410)).slice(0, 20)).toBe("IMAGE_FILE_NOT_FOUND")
    const refused = "REMOTE_REFUSED: URL cannot be served as an image: its server answers"
    expect(await said(401)).toBe(`${refused} 401: reading it is not allowed`)
    expect(await said(403)).toBe(`${refused} 403: reading it is not allowed`)
    expect(await said(418)).toBe(`${refused} 418`)
    expect(await said(204)).toBe(`${refused} 204`)
    expect(await said(503)).toBe("REMOTE_UNREACHABLE: cannot read URL now: its server answers 503")
  })

  it("that is busy is asked again, also later when it says when", async () => {
    const { url, requests } = fresh()
    const answers: Array<Fault> = [
      { status: 503 },
      "reset",
      { status: 429, headers: { "retry-after": "0" } },
      { status: 500 },
      { shift: 5 },
    ]
    server.fault = () => answers.shift()
    const volume = await openRemoteVolume({ url })
    expect(requests().length).toBe(6)
    answers.push({ status: 502 }, { shift: -7 }, { short: 100 }, { cut: 10 }, { status: 504 })
    same(await bytesAt(volume, 65_536, 512), 65_536)
    await volume.close()
  })

  it("that asks for more time than a read has is not waited for", async () => {
    const { url, requests } = fresh()
    server.fault = () => ({ status: 503, headers: { "retry-after": "60" } })
    expect(await refusalOf(opening({ url, readMillis: 5000 }))).toContain("REMOTE_UNREACHABLE")
    expect(requests().length).toBe(1)
  })

  it("that says nothing is given up at the deadline, and the read after it is answered", async () => {
    const { url } = fresh()
    const volume = await openRemoteVolume({ url, readMillis: 400 })
    server.fault = () => "silent"
    expect(await refusalOf(bytesAt(volume, 0, 512))).toBe(
      `REMOTE_UNREACHABLE: cannot read ${url} at byte 0 (+262144) now: there was no answer in time`,
    )
    server.fault = () => undefined
    same(await bytesAt(volume, 0, 512), 0)
    await volume.close()
  })

  it("that fails for good while many wait answers them all by their own deadline", async () => {
    const { url } = fresh(undefined, Buffer.alloc(24 * MiB, 1))
    const volume = await openRemoteVolume({ url, readMillis: 500 })
    server.fault = () => "silent"
    const reads = Array.from({ length: 96 }, (_, i) => refusalOf(bytesAt(volume, i * 256 * KiB, 512)))
    const said = await Promise.all(reads)
    expect(said.filter((text) => text.startsWith("REMOTE_UNREACHABLE")).length).toBe(96)
    await volume.close()
  })
})

describe("a body", () => {
  it("that is cut goes on at the byte that was reached", async () => {
    const { url, ranges } = fresh()
    const volume = await openRemoteVolume({ url })
    const faults: Array<Fault> = [{ cut: 100_000 }, { cut: 200_000 }]
    server.fault = () => faults.shift()
    same(await bytesAt(volume, 0, MiB), 0)
    const [first, second, third] = ranges().map((range) => Number(/=(\d+)-1048575$/.exec(range!)?.[1]))
    expect(first).toBe(0)
    expect(second).toBeGreaterThan(0)
    expect(second).toBeLessThanOrEqual(100_000)
    expect(third).toBeGreaterThan(second!)
    expect(third).toBeLessThanOrEqual(300_000)
    await volume.close()
  })

  it("that comes in short answers is asked for until it is whole", async () => {
    const { url, ranges } = fresh()
    const volume = await openRemoteVolume({ url })
    server.fault = () => ({ short: 50_000 })
    same(await bytesAt(volume, 0, 262_144), 0)
    expect(ranges()).toEqual([0, 50, 100, 150, 200, 250].map((kilo) => `bytes=${kilo * 1000}-262143`))
    await volume.close()
  })
})

describe("redirects", () => {
  const chain = (count: number, target: string) => {
    const first = `/chain-${made++}`
    server.fault = (request) => {
      const [, name, n = "0"] = /^(\/chain-\d+)(?:\/(\d+))?$/.exec(request.url ?? "") ?? []
      if (name !== first) return undefined
      const next = Number(n) + 1
      return { status: 302, headers: { location: next < count ? `${first}/${next}` : target } }
    }
    return `${server.origin}${first}`
  }

  it("are followed five times, and not six; where they led is asked from then on", async () => {
    const { path, requests } = fresh()
    const volume = await openRemoteVolume({ url: chain(5, path) })
    same(await bytesAt(volume, 0, 512), 0)
    await volume.close()
    expect(requests().length).toBe(2)
    const url = chain(6, path)
    expect(await refusalOf(opening({ url }))).toBe(`${cannot(url)}: more than 5 redirects`)
  })

  it("in a circle, to nowhere, or out of HTTP are refused", async () => {
    const circle = `${server.origin}/circle`
    server.fault = () => ({ status: 307, headers: { location: circle } })
    expect(await refusalOf(opening({ url: circle }))).toContain("more than 5 redirects")
    server.fault = () => ({ status: 301 })
    expect(await refusalOf(opening({ url: circle }))).toContain("a redirect leads nowhere")
    server.fault = () => ({ status: 301, headers: { location: "file:///etc/passwd" } })
    expect(await refusalOf(opening({ url: circle }))).toContain("a redirect leads from http: to file:")
  })

  it("that ran out are followed anew from the address given", async () => {
    const { path, url } = fresh()
    const other = fresh()
    let target = path
    server.fault = (request) => {
      if (request.url === "/latest") return { status: 302, headers: { location: target } }
      return request.url === path && target !== path ? { status: 403 } : undefined
    }
    const volume = await openRemoteVolume({ url: `${server.origin}/latest` })
    same(await bytesAt(volume, 0, 512), 0)
    other.object.headers = { etag: `"${path}-1"` }
    target = other.path
    same(await bytesAt(volume, MiB, 512), MiB)
    await volume.close()
    expect(url).toContain(path)
  })

  it("to another server do not take the credentials along", async () => {
    const elsewhere = await objectServer()
    elsewhere.put("/disk.raw", bytes)
    server.fault = () => ({ status: 302, headers: { location: `${elsewhere.origin}/disk.raw` } })
    const plugin = remotePlugin({ clock: systemClock, env: { LAB: "reader:open sesame" } })
    const config = { url: `${server.origin}/away.raw`, credentials: "env:LAB" }
    const volume = await openRemoteVolume(config, { plugin })
    await volume.close()
    expect(server.headersSeen.at(-1)?.authorization).toBe("Basic cmVhZGVyOm9wZW4gc2VzYW1l")
    expect(elsewhere.headersSeen.map((headers) => headers.authorization)).toEqual([undefined])
    await elsewhere.stop()
  })
})

describe("requests", () => {
  it("for adjacent misses are joined, up to 1 MiB, and eight are under way at a time", async () => {
    const { url, ranges } = fresh(undefined, content)
    const volume = await openRemoteVolume({ url })
    server.atOnceMax = 0
    server.connections = 0
    server.fault = () => ({ delayMillis: 5 })
    same(await bytesAt(volume, 0, 16 * MiB), 0, content)
    expect(ranges().length).toBe(16)
    expect(server.atOnceMax).toBe(8)
    expect(server.connections).toBeLessThanOrEqual(8)
    await volume.close()
  })

  it("are one for two readers of neighbours in one turn, and one for fifty readers of one block", async () => {
    const { url, ranges } = fresh()
    const volume = await openRemoteVolume({ url })
    await Promise.all([bytesAt(volume, 65_536, 512), bytesAt(volume, 0, 512)])
    expect(ranges()).toEqual(["bytes=0-327679"])
    const fifty = await Promise.all(Array.from({ length: 50 }, (_, i) => bytesAt(volume, 2 * MiB + i * 1000, 1000)))
    for (const [i, got] of fifty.entries()) same(got, 2 * MiB + i * 1000)
    expect(ranges().slice(1)).toEqual(["bytes=2097152-2359295"])
    await volume.close()
  })

  it("of a sequential reader are few and long", async () => {
    const { url, ranges } = fresh(undefined, content)
    const volume = await openRemoteVolume({ url })
    for (let offset = 0; offset < 16 * MiB; offset += 64 * KiB)
      same(await bytesAt(volume, offset, 64 * KiB), offset, content)
    expect(ranges().length).toBeLessThan(40)
    await volume.close()
  })

  it("end with the object, whose last block is short", async () => {
    const content = sampleBytes(131_073)
    const { url, ranges } = fresh(undefined, content)
    const volume = await openRemoteVolume({ url })
    same(await bytesAt(volume, 131_072, 1), 131_072, content)
    expect(ranges()).toEqual(["bytes=131072-131072"])
    await volume.close()
  })

  it("are not made for a read that was given up, whose buffer stays as it was", async () => {
    const { url, ranges } = fresh()
    const volume = await openRemoteVolume({ url })
    const into = Buffer.alloc(512, 7)
    expect(await refusalOf(volume.read(into, 0, 0, 512, AbortSignal.abort()))).toContain("CANCELLED")
    const controller = new AbortController()
    server.fault = () => {
      controller.abort()
      return undefined
    }
    expect(await refusalOf(volume.read(into, 0, 0, 512, controller.signal))).toContain("CANCELLED")
    expect(into.equals(Buffer.alloc(512, 7))).toBe(true)
    expect(ranges().length).toBe(1)
    await volume.close()
  })
})

it("answers every read with its own bytes over a network that cuts, delays, resets, refuses and shifts", async () => {
  for (const seed of [1, 2, 3]) {
    const random = randomFrom(seed)
    const { url } = fresh()
    const volume = await openRemoteVolume({ url, readMillis: 30_000 })
    const faults: ReadonlyArray<() => Fault> = [
      () => ({ cut: Math.floor(random() * 80_000) }),
      () => ({ delayMillis: Math.floor(random() * 20) }),
      () => "reset",
      () => ({ status: 503 }),
      () => ({ shift: 1 + Math.floor(random() * 5000) }),
      () => ({ short: 1 + Math.floor(random() * 70_000) }),
    ]
    server.fault = () => (random() < 0.3 ? faults[Math.floor(random() * faults.length)]!() : undefined)
    const reads = Array.from({ length: 60 }, async () => {
      const length = 1 + Math.floor(random() * 100_000)
      const offset = Math.floor(random() * (bytes.length - length))
      const got = await bytesAt(volume, offset, length)
      expect(
        Buffer.compare(got, bytes.subarray(offset, offset + length)),
        `seed ${seed}, ${length} bytes at ${offset}`,
      ).toBe(0)
    })
    await Promise.all(reads)
    await volume.close()
  }
})
