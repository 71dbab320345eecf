import { describe, expect, it } from "vitest"
import { ImagelinkError } from "../../core/errors.ts"
import { effectiveConfig } from "../../core/runtime/config.ts"
import type { ConfigFile } from "../../core/runtime/config-file.ts"
import { decodeConfig } from "../../core/runtime/config-reading.ts"
import { parseBytes } from "../../core/runtime/sizes.ts"

const from = (...settings: ReadonlyArray<ConfigFile>) =>
  settings.map((s, i) => ({ from: `source ${i + 1}`, settings: s }))
const why = (work: () => unknown): string => {
  try {
    work()
  } catch (e) {
    if (e instanceof ImagelinkError && e.code === "CONFIG_INVALID") return `${e.message}: ${e.reason}`
    throw e
  }
  return "accepted"
}
const KiB = 1024
const MiB = KiB * KiB

describe("the settings of a server", () => {
  it("are loopback, the NBD port and 256 MiB of cache when nobody says otherwise", () => {
    expect(effectiveConfig([])).toEqual({
      address: "127.0.0.1",
      nbdPort: 10809,
      tftpPort: "off",
      iscsiPort: "off",
      httpPort: "off",
      apiPort: "off",
      apiAddress: "127.0.0.1",
      users: [],
      registration: "closed",
      cacheBytes: 256 * MiB,
      scrubBytesPerSecond: 16 * MiB,
      scrubEveryDays: 30,
      mergeLayersAfter: 8,
      logLevel: "info",
      plugins: [],
    })
  })

  it("come from the last source that names them, key by key; plugins come from all", () => {
    const file: ConfigFile = { address: "10.0.0.1", "nbd-port": 1, cache: "16M", plugin: [{ module: "a" }] }
    const tftp: ConfigFile = { "tftp-port": 69, "boot-files": "/srv/boot", plugin: [{ module: "b" }] }
    const merged = effectiveConfig(from(file, { "nbd-port": "off", cache: 2 ** 30 }, tftp))
    expect(merged).toEqual({
      address: "10.0.0.1",
      nbdPort: "off",
      tftpPort: 69,
      iscsiPort: "off",
      httpPort: "off",
      apiPort: "off",
      apiAddress: "127.0.0.1",
      users: [],
      registration: "closed",
      bootFiles: "/srv/boot",
      cacheBytes: 2 ** 30,
      scrubBytesPerSecond: 16 * MiB,
      scrubEveryDays: 30,
      mergeLayersAfter: 8,
      logLevel: "info",
      plugins: ["a", "b"],
    })
  })

  it("are refused with the source that holds the bad size, even if others are good", () => {
    expect(why(() => effectiveConfig(from({ cache: "1G" }, { cache: "16383K" }, {})))).toBe(
      'source 2 cannot be used: cache: expected a size of at least 16M, like 256M or 4G, got "16383K"',
    )
    expect(effectiveConfig(from({ cache: "much" }, { cache: "16M" })).cacheBytes).toBe(16 * MiB)
  })

  it("say how fast images are scrubbed, at least a cluster a second, or not at all", () => {
    const rate = (...values: ReadonlyArray<string | number>) =>
      effectiveConfig(from(...values.map((v) => ({ "scrub-rate": v })))).scrubBytesPerSecond
    expect([rate("64K"), rate("64K", 0), rate("little", "1G")]).toEqual([64 * KiB, 0, 2 ** 30])
    expect(why(() => rate("1M", "65535"))).toBe(
      'source 2 cannot be used: scrub-rate: expected bytes a second, at least 64K, like 16M, or 0 for none, got "65535"',
    )
    expect(effectiveConfig(from({ "scrub-every-days": 1 })).scrubEveryDays).toBe(1)
    for (const days of [0, 3651, 1.5, "1"])
      expect(why(() => decodeConfig("a file", { "scrub-every-days": days }))).toContain("scrub-every-days")
  })

  it("serve DHCP only where a mode and an interface are named, and refuse its settings where they would say nothing", () => {
    const dhcp = (settings: ConfigFile) => effectiveConfig(from(settings)).dhcp
    expect([dhcp({}), dhcp({ dhcp: "off", "dhcp-range": "10.0.0.2-10.0.0.9" })]).toEqual([undefined, undefined])
    expect(dhcp({ dhcp: "full", interface: "eth1", "dhcp-router": "10.0.0.1, 10.0.0.2" })).toEqual({
      ...{ mode: "full", interface: "eth1", port: 67, proxyPort: 4011, answers: "boot", unconfined: false },
      ...{ own: { routers: ["10.0.0.1", "10.0.0.2"] }, relayed: [], firmware: [] },
    })
    expect(why(() => dhcp({ dhcp: "proxy" }))).toContain("dhcp: proxy needs the interface")
    expect(why(() => dhcp({ "dhcp-range": "10.0.0.2-10.0.0.9" }))).toContain(
      "dhcp-range: says nothing while dhcp is not set",
    )
  })

  it("leave the RAM for images to the server, or say how much, or none", () => {
    const ram = (...values: ReadonlyArray<string | number>) =>
      effectiveConfig(from(...values.map((v) => ({ ram: v })))).ramBytes
    expect([ram(), ram("1M"), ram("1M", 0), ram("much", "2G")]).toEqual([undefined, MiB, 0, 2 ** 31])
    expect(why(() => effectiveConfig(from({ ram: "1M" }, { ram: "half" }, {})))).toBe(
      'source 2 cannot be used: ram: expected a size like 512M or 16G, or 0, got "half"',
    )
  })

  it.each([
    [{ adress: "10.0.0.1" }, "adress"],
    [{ address: 1 }, "address"],
    [{ "nbd-port": 65536 }, "nbd-port"],
    [{ "nbd-port": -1 }, "nbd-port"],
    [{ "nbd-port": 1.5 }, "nbd-port"],
    [{ "nbd-port": "on" }, "nbd-port"],
    [{ "tftp-port": 65536 }, "tftp-port"],
    [{ "tftp-port": "" }, "tftp-port"],
    [{ "boot-files": 1 }, "boot-files"],
    [{ cache: true }, "cache"],
    [{ "merge-layers-after": -1 }, "merge-layers-after"],
    [{ "merge-layers-after": 1.5 }, "merge-layers-after"],
    [{ "merge-layers-after": "off" }, "merge-layers-after"],
    [{ "log-level": "loud" }, "log-level"],
    [{ firmware: [{ mac: "54-BF-64" }] }, "program"],
    [{ firmware: [{ program: "ipxe.efi", serial: "7XK2" }] }, "serial"],
    [{ plugin: [{ module: "a", kind: "b" }] }, "kind"],
    [{ plugin: ["a"] }, "plugin"],
    ["text", ""],
    [null, ""],
  ])("are refused by the name of the key: %j", (input, key) => {
    const said = why(() => decodeConfig("imagelink.toml", input))
    expect(said).toMatch(/^imagelink\.toml cannot be used: /)
    expect(said).toContain(key)
    expect(said).not.toContain("\n")
  })

  it("take the ports at both ends", () => {
    for (const port of [0, 65535, "off"] as const)
      expect(decodeConfig("f", { "nbd-port": port })).toEqual({ "nbd-port": port })
  })
})

describe("a size", () => {
  it.each([
    ["0", 0],
    ["512", 512],
    ["64K", 64 * KiB],
    ["64k", 64 * KiB],
    ["64KB", 64 * KiB],
    ["64 KiB", 64 * KiB],
    ["1M", MiB],
    [" 4G ", 4 * 2 ** 30],
    ["2TiB", 2 * 2 ** 40],
    ["512b", 512],
    [4096, 4096],
    ["8191T", 8191 * 2 ** 40],
  ])("%j is %d bytes", (text, bytes) => expect(parseBytes(text)).toBe(bytes))

  it.each([
    "",
    "K",
    "1.5G",
    "-1",
    "1e3",
    "0x10",
    "1P",
    "64KK",
    "1 2",
    "8192T",
    "9007199254740992",
    -1,
    1.5,
    Number.NaN,
  ])("%j is none", (text) => expect(parseBytes(text)).toBe(undefined))
})
