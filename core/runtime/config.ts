/** What `serve` can be told: by flag, by IMAGELINK_* or in imagelink.toml, in that order of weight. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { fail } from "../errors.ts"
import { limits } from "../limits.ts"
import { parseBytes } from "./sizes.ts"

const Port = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 65_535 }))
const PortOrOff = Schema.Union([Schema.Literal("off"), Port])
const LeaseSeconds = Schema.Int.check(Schema.isBetween({ minimum: 60, maximum: 0xffff_fffe }))
const Size = Schema.Union([Schema.String, Schema.Int])

/** A network that DHCP serves; that of the interface has no `network`, and its keys are those that begin with `dhcp-`. */
const SubnetConfig = Schema.Struct({
  network: Schema.optionalKey(Schema.String),
  range: Schema.optionalKey(Schema.String),
  routers: Schema.optionalKey(Schema.Array(Schema.String)),
  "name-servers": Schema.optionalKey(Schema.Array(Schema.String)),
  domain: Schema.optionalKey(Schema.String),
  "lease-seconds": Schema.optionalKey(LeaseSeconds),
})
export type SubnetConfig = typeof SubnetConfig.Type

/** What a user of this machine may do over the server's socket. */
const UserConfig = Schema.Struct({
  name: Schema.String,
  role: Schema.Literals(["viewer", "auditor", "operator", "admin"]),
})

/** What some firmware boots, instead of what DHCP would choose for it; everything that is named has to fit. */
const FirmwareConfig = Schema.Struct({
  program: Schema.String,
  "vendor-class": Schema.optionalKey(Schema.String),
  mac: Schema.optionalKey(Schema.String),
  machine: Schema.optionalKey(Schema.String),
  architecture: Schema.optionalKey(Schema.Int),
})
export type FirmwareConfig = typeof FirmwareConfig.Type

export const ConfigFile = Schema.Struct({
  address: Schema.optionalKey(Schema.String),
  "nbd-port": Schema.optionalKey(PortOrOff),
  "tftp-port": Schema.optionalKey(PortOrOff),
  "iscsi-port": Schema.optionalKey(PortOrOff),
  "iscsi-secrets": Schema.optionalKey(Schema.String),
  "iscsi-redirect": Schema.optionalKey(Schema.String),
  "iscsi-moved": Schema.optionalKey(Schema.String),
  "http-port": Schema.optionalKey(PortOrOff),
  "boot-files": Schema.optionalKey(Schema.String),
  "api-port": Schema.optionalKey(PortOrOff),
  "api-address": Schema.optionalKey(Schema.String),
  "api-cert": Schema.optionalKey(Schema.String),
  "api-key": Schema.optionalKey(Schema.String),
  user: Schema.optionalKey(Schema.Array(UserConfig)),
  interface: Schema.optionalKey(Schema.String),
  dhcp: Schema.optionalKey(Schema.Literals(["full", "proxy", "off"])),
  "dhcp-port": Schema.optionalKey(Port),
  "dhcp-proxy-port": Schema.optionalKey(Port),
  "dhcp-answers": Schema.optionalKey(Schema.Literals(["boot", "all"])),
  "dhcp-unconfined": Schema.optionalKey(Schema.Literals(["refuse", "allow"])),
  "dhcp-range": Schema.optionalKey(Schema.String),
  "dhcp-router": Schema.optionalKey(Schema.String),
  "dhcp-name-server": Schema.optionalKey(Schema.String),
  "dhcp-domain": Schema.optionalKey(Schema.String),
  "dhcp-lease-seconds": Schema.optionalKey(LeaseSeconds),
  subnet: Schema.optionalKey(Schema.Array(SubnetConfig)),
  firmware: Schema.optionalKey(Schema.Array(FirmwareConfig)),
  registration: Schema.optionalKey(Schema.Literals(["closed", "ask", "auto"])),
  "default-image": Schema.optionalKey(Schema.String),
  cache: Schema.optionalKey(Size),
  ram: Schema.optionalKey(Size),
  "scrub-rate": Schema.optionalKey(Size),
  "scrub-every-days": Schema.optionalKey(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: limits.scrubEveryDaysMax })),
  ),
  "overlay-reserve": Schema.optionalKey(Size),
  "overlay-quota": Schema.optionalKey(Size),
  "merge-layers-after": Schema.optionalKey(
    Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: limits.layerNumberMax })),
  ),
  "log-level": Schema.optionalKey(Schema.Literals(["error", "info", "debug"])),
  plugin: Schema.optionalKey(Schema.Array(Schema.Struct({ module: Schema.String }))),
})
export type ConfigFile = typeof ConfigFile.Type

export interface ServeConfig {
  readonly address: string
  readonly nbdPort: number | "off"
  readonly tftpPort: number | "off"
  readonly iscsiPort: number | "off"
  /** File of CHAP secrets; where nobody names one, iSCSI asks for none. */
  readonly iscsiSecrets?: string
  /** Portals that clients are sent to, for now and for good; where nobody names one, they are served here. */
  readonly iscsiElsewhere?: Pick<ConfigFile, "iscsi-redirect" | "iscsi-moved">
  readonly httpPort: number | "off"
  /** Folder that TFTP and HTTP serve; where nobody names one, the server looks for one. */
  readonly bootFiles?: string
  readonly apiPort: number | "off"
  readonly apiAddress: string
  /** PEM files; without them the API is for loopback addresses only. */
  readonly apiTls: { readonly cert: string; readonly key: string } | undefined
  /** Users of this machine who are not what they are by default. */
  readonly users: ReadonlyArray<typeof UserConfig.Type>
  /** Undefined: off. */
  readonly dhcp: DhcpConfig | undefined
  /** What becomes of computers that nobody registered. */
  readonly registration: "closed" | "ask" | "auto"
  /** What they are linked to. */
  readonly defaultImage?: string
  readonly cacheBytes: number
  /** For images placed in RAM, all together; undefined: a quarter of the memory that is available at the start. */
  readonly ramBytes: number | undefined
  /** At most so much of the images is read in the background to find damage; 0: nothing is. */
  readonly scrubBytesPerSecond: number
  /** How old the last check of a version may grow. */
  readonly scrubEveryDays: number
  /** Disk space that only super clients may use; undefined: a hundredth of the disk, at most 1 GiB. */
  readonly overlayReserveBytes: number | undefined
  /** What a client may write over its image; undefined: without a bound. */
  readonly overlayQuotaBytes: number | undefined
  /** Layers that a version is read over before they are merged in the background; 0: never. */
  readonly mergeLayersAfter: number
  readonly logLevel: "error" | "info" | "debug"
  /** ES modules of third-party plugins, as written; relative ones are relative to the file that names them. */
  readonly plugins: ReadonlyArray<string>
}

export interface DhcpConfig {
  readonly mode: "full" | "proxy"
  /** Named by the operator, so that nobody serves DHCP by accident. */
  readonly interface: string
  readonly port: number
  readonly proxyPort: number
  readonly answers: "boot" | "all"
  /** Serves although the host cannot keep the socket to the interface and there are others. */
  readonly unconfined: boolean
  /** The network of the interface. */
  readonly own: SubnetConfig
  /** Networks behind relays. */
  readonly relayed: ReadonlyArray<SubnetConfig>
  readonly firmware: ReadonlyArray<FirmwareConfig>
}

export const NBD_PORT = 10_809
/** RFC 2131 §4.1; Intel PXE 2.1 §2.1. */
const DHCP_PORT = 67
const DHCP_PROXY_PORT = 4011

/** Judges one source of settings. @throws CONFIG_INVALID naming the key */
export const decodeConfig = (file: string, input: unknown): ConfigFile => {
  const decoded = Schema.decodeUnknownResult(ConfigFile, { onExcessProperty: "error", errors: "all" })(input)
  if (Result.isFailure(decoded))
    throw fail("CONFIG_INVALID", { file, why: decoded.failure.message.replaceAll(/\s*\n\s*/g, " ") })
  return decoded.success
}

type Table = "plugin" | "subnet" | "firmware" | "user"
type Key = Exclude<keyof ConfigFile, Table>

/** Tables of a file are no flags. */
const tables: ReadonlySet<string> = new Set<Table>(["plugin", "subnet", "firmware", "user"])
const keys = Object.keys(ConfigFile.fields).filter((key): key is Key => !tables.has(key))

/** Settings that are words: digits in them are no number. */
const words: ReadonlySet<Key> = new Set<Key>([
  ...(["api-address", "api-cert", "api-key"] as const),
  ...(["address", "boot-files", "interface", "iscsi-secrets", "log-level", "registration", "default-image"] as const),
  ...(["iscsi-redirect", "iscsi-moved"] as const),
])

/** Settings that come as texts, one by one: from flags, from the environment. @throws CONFIG_INVALID naming the key */
export const configFromTexts = (from: string, textOf: (key: Key) => string | undefined): ConfigFile => {
  const given = keys.flatMap((key) => {
    const text = textOf(key)
    if (text === undefined) return []
    return [[key, /^\d+$/.test(text) && !words.has(key) ? Number(text) : text] as const]
  })
  return decodeConfig(from, Object.fromEntries(given))
}

export interface ConfigSource {
  readonly from: string
  readonly settings: ConfigFile
}

/** The effective settings: later sources win, key by key. @throws CONFIG_INVALID */
export const effectiveConfig = (sources: ReadonlyArray<ConfigSource>): ServeConfig => {
  const merged: ConfigFile = Object.assign({}, ...sources.map((s) => s.settings))
  const bytes = (key: SizeKey, expected: string, fits: (bytes: number) => boolean = () => true) =>
    bytesOf(sources, key, expected, fits)
  return {
    address: merged.address ?? "127.0.0.1",
    nbdPort: merged["nbd-port"] ?? NBD_PORT,
    tftpPort: merged["tftp-port"] ?? "off",
    iscsiPort: merged["iscsi-port"] ?? "off",
    ...(merged["iscsi-secrets"] === undefined ? {} : { iscsiSecrets: merged["iscsi-secrets"] }),
    ...iscsiElsewhere(merged),
    httpPort: merged["http-port"] ?? "off",
    ...(merged["boot-files"] === undefined ? {} : { bootFiles: merged["boot-files"] }),
    apiPort: merged["api-port"] ?? "off",
    apiAddress: merged["api-address"] ?? "127.0.0.1",
    apiTls: tlsConfig(merged),
    users: merged.user ?? [],
    dhcp: dhcpConfig(merged),
    registration: merged.registration ?? "closed",
    ...(merged["default-image"] === undefined ? {} : { defaultImage: merged["default-image"] }),
    cacheBytes:
      bytes("cache", "a size of at least 16M, like 256M or 4G", (n) => n >= limits.cacheBytesMin) ??
      limits.cacheBytesDefault,
    ramBytes: bytes("ram", "a size like 512M or 16G, or 0"),
    scrubBytesPerSecond:
      bytes(
        "scrub-rate",
        "bytes a second, at least 64K, like 16M, or 0 for none",
        (n) => n === 0 || n >= limits.scrubBytesPerSecondMin,
      ) ?? limits.scrubBytesPerSecondDefault,
    scrubEveryDays: merged["scrub-every-days"] ?? limits.scrubEveryDaysDefault,
    overlayReserveBytes: bytes("overlay-reserve", "a size like 512M or 16G, or 0"),
    overlayQuotaBytes: bytes("overlay-quota", "a size like 512M or 16G"),
    mergeLayersAfter: merged["merge-layers-after"] ?? limits.mergeLayersAfterDefault,
    logLevel: merged["log-level"] ?? "info",
    plugins: sources.flatMap((s) => s.settings.plugin ?? []).map((p) => p.module),
  }
}

const iscsiElsewhere = (merged: ConfigFile): Pick<ServeConfig, "iscsiElsewhere"> => {
  const { "iscsi-redirect": forNow, "iscsi-moved": forGood } = merged
  if (forNow === undefined && forGood === undefined) return {}
  return {
    iscsiElsewhere: {
      ...(forNow === undefined ? {} : { "iscsi-redirect": forNow }),
      ...(forGood === undefined ? {} : { "iscsi-moved": forGood }),
    },
  }
}

const list = (text: string | undefined) => text?.split(",").map((part) => part.trim())

const tlsConfig = ({ "api-cert": cert, "api-key": key }: ConfigFile): ServeConfig["apiTls"] => {
  if (cert === undefined && key === undefined) return undefined
  if (cert !== undefined && key !== undefined) return { cert, key }
  throw fail("CONFIG_INVALID", {
    file: "the settings of the API",
    why: `api-${cert === undefined ? "cert" : "key"}: a certificate and its key are named together`,
  })
}

const dhcpConfig = (merged: ConfigFile): DhcpConfig | undefined => {
  const { dhcp: mode, interface: name } = merged
  // Who sets a range and forgets to say what for would look for its fault in the network.
  const idle = mode === undefined ? keys.find((key) => key.startsWith("dhcp-") && merged[key] !== undefined) : undefined
  if (idle !== undefined)
    throw fail("CONFIG_INVALID", {
      file: "the settings of DHCP",
      why: `${idle}: says nothing while dhcp is not set; expected dhcp to be full or proxy, or off to keep the rest for later`,
    })
  if (mode === undefined || mode === "off") return undefined
  if (name === undefined)
    throw fail("CONFIG_INVALID", {
      file: "the settings of DHCP",
      why: `dhcp: ${mode} needs the interface that it serves, like --interface eth1`,
    })
  const own = {
    range: merged["dhcp-range"],
    routers: list(merged["dhcp-router"]),
    "name-servers": list(merged["dhcp-name-server"]),
    domain: merged["dhcp-domain"],
    "lease-seconds": merged["dhcp-lease-seconds"],
  }
  return {
    mode,
    interface: name,
    port: merged["dhcp-port"] ?? DHCP_PORT,
    proxyPort: merged["dhcp-proxy-port"] ?? DHCP_PROXY_PORT,
    answers: merged["dhcp-answers"] ?? "boot",
    unconfined: merged["dhcp-unconfined"] === "allow",
    own: Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined)),
    relayed: merged.subnet ?? [],
    firmware: merged.firmware ?? [],
  }
}

type SizeKey = "cache" | "ram" | "scrub-rate" | "overlay-reserve" | "overlay-quota"

/** The newest word on a size, in bytes; undefined where nobody says one. */
const bytesOf = (
  sources: ReadonlyArray<ConfigSource>,
  key: SizeKey,
  expected: string,
  fits: (bytes: number) => boolean,
): number | undefined => {
  const source = sources.findLast((s) => s.settings[key] !== undefined)
  if (source === undefined) return undefined
  const said = source.settings[key]!
  const bytes = parseBytes(said)
  if (bytes !== undefined && fits(bytes)) return bytes
  throw fail("CONFIG_INVALID", { file: source.from, why: `${key}: expected ${expected}, got ${JSON.stringify(said)}` })
}
