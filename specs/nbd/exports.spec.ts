import { describe, expect, it } from "vitest"
import { describeExport, parseExportName } from "../../adapters/nbd/exports.ts"
import { peerOf } from "../../adapters/socket/peer.ts"
import { MemoryDevice } from "../support/memory-disks.ts"

describe("an export's name", () => {
  it.each([
    ["client/PC-001/0", { kind: "client", client: "PC-001", slot: 0 }],
    ["client/a/15", { kind: "client", client: "a", slot: 15 }],
    [`client/${"a".repeat(63)}/1`, { kind: "client", client: "a".repeat(63), slot: 1 }],
    ["client/525400aabbcc/0", { kind: "client", client: "525400aabbcc", slot: 0 }],
    ["image/win11", { kind: "image", image: "win11", version: undefined }],
    ["image/win11-lab@3", { kind: "image", image: "win11-lab", version: 3 }],
    [`image/${"a".repeat(64)}@999999999`, { kind: "image", image: "a".repeat(64), version: 999_999_999 }],
  ])("%s is one", (name, expected) => {
    expect(parseExportName(name)).toEqual(expected)
  })
  it.each([
    "",
    "client",
    "client/",
    "client/PC-001",
    "client/PC-001/",
    "client/PC-001/16",
    "client/PC-001/00",
    "client/PC-001/-1",
    "client/PC-001/0/",
    "client//0",
    "client/-a/0",
    "client/a-/0",
    `client/${"a".repeat(64)}/0`,
    "Client/PC-001/0",
    "client/PC 001/0",
    "client/\u212Aa/0",
    "image/",
    "image/a@",
    "image/a@0",
    "image/a@01",
    "image/a@-1",
    "image/a@1000000000",
    "image/a/b",
    "image/a_b",
    `image/${"a".repeat(65)}`,
    "image/../etc/passwd",
    " image/a",
    "image/a\n",
    "/image/a",
  ])("%j is none", (name) => {
    expect(parseExportName(name)).toBeUndefined()
  })
})

describe("what an export says about itself", () => {
  const flags = (features: object, structured: boolean): string =>
    describeExport("n", "d", new MemoryDevice({ sizeBytes: 512, features }), structured).transmissionFlags.toString(2)

  it("a client's disk: flush, FUA, trim, zeroes, fast zeroes, multi-conn, cache", () => {
    expect(flags({}, false)).toBe("110101101101")
  })
  it("the same with structured replies adds DF", () => {
    expect(flags({}, true)).toBe("110111101101")
  })
  it("without trim the flag is clear", () => {
    expect(flags({ trim: false }, false)).toBe("110101001101")
  })
  it("a version: read-only, and nothing that writes", () => {
    expect(flags({ writable: false }, false)).toBe("10100001111")
  })
  it("logical blocks are the smallest unit, physical ones the preferred, 32 MiB the largest payload", () => {
    const info = describeExport("n", "d", new MemoryDevice({ sizeBytes: 512 }), false)
    expect([info.minimumBytes, info.preferredBytes, info.payloadBytesMax]).toEqual([512, 4096, 33_554_432])
  })
  it("a byte-granular disk takes single bytes", () => {
    const device = new MemoryDevice({ sizeBytes: 5, features: { byteGranular: true } })
    expect(describeExport("n", "d", device, false).minimumBytes).toBe(1)
  })
})

describe("a peer", () => {
  it.each([
    ["127.0.0.1", "127.0.0.1", true],
    ["127.9.9.9", "127.9.9.9", true],
    ["::ffff:127.0.0.1", "127.0.0.1", true],
    ["::1", "::1", true],
    ["::ffff:192.168.1.20", "192.168.1.20", false],
    ["192.168.1.20", "192.168.1.20", false],
    ["128.0.0.1", "128.0.0.1", false],
    ["fe80::127.0.0.1", "fe80::127.0.0.1", false],
    [undefined, "unknown", false],
  ])("at %s is shown as %s, loopback %s", (address, shown, loopback) => {
    expect(peerOf(address, "nbd")).toEqual({ address: shown, loopback, protocol: "nbd" })
  })
})
