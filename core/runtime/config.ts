/** What `serve` can be told: by flag, by IMAGELINK_* or in imagelink.toml, in that order of weight. */
import { fail } from "../errors.ts"
import { limits } from "../limits.ts"
import {
  type ConfigFile,
  type ConfigSource,
  type FirmwareConfig,
  type SubnetConfig,
  settingKeys,
  type UserConfig,
} from "./config-file.ts"
import { onLine } from "./refused-setting.ts"
import { parseBytes } from "./sizes.ts"

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
  readonly users: ReadonlyArray<UserConfig>
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

/** What holds where nobody says otherwise; what is not here is decided at the start, or is not wanted. */
export const defaults = {
  address: "127.0.0.1",
  "nbd-port": NBD_PORT,
  "tftp-port": "off",
  "iscsi-port": "off",
  "http-port": "off",
  "api-port": "off",
  "api-address": "127.0.0.1",
  dhcp: "off",
  "dhcp-port": DHCP_PORT,
  "dhcp-proxy-port": DHCP_PROXY_PORT,
  "dhcp-answers": "boot",
  "dhcp-unconfined": "refuse",
  "dhcp-lease-seconds": limits.dhcpLeaseSecondsDefault,
  registration: "closed",
  cache: limits.cacheBytesDefault,
  "scrub-rate": limits.scrubBytesPerSecondDefault,
  "scrub-every-days": limits.scrubEveryDaysDefault,
  "merge-layers-after": limits.mergeLayersAfterDefault,
  "log-level": "info",
} as const satisfies ConfigFile

/** A refusal that names the source which says `key`, and the line. */
const refuse = (sources: ReadonlyArray<ConfigSource>, key: keyof ConfigFile, why: string) => {
  const source = sources.findLast((s) => s.settings[key] !== undefined)
  return fail("CONFIG_INVALID", {
    file: source?.from ?? "the configuration",
    why: `${onLine(source?.lineOf?.([key]))}${key}: ${why}`,
  })
}

/** The effective settings: later sources win, key by key. @throws CONFIG_INVALID */
export const effectiveConfig = (sources: ReadonlyArray<ConfigSource>): ServeConfig => {
  const said: ConfigFile = Object.assign({}, ...sources.map((s) => s.settings))
  const merged = { ...defaults, ...said }
  const bytes = (key: SizeKey, expected: string, fits: (bytes: number) => boolean = () => true) =>
    bytesOf(sources, key, expected, fits)
  return {
    address: merged.address,
    nbdPort: merged["nbd-port"],
    tftpPort: merged["tftp-port"],
    iscsiPort: merged["iscsi-port"],
    ...(merged["iscsi-secrets"] === undefined ? {} : { iscsiSecrets: merged["iscsi-secrets"] }),
    ...iscsiElsewhere(merged),
    httpPort: merged["http-port"],
    ...(merged["boot-files"] === undefined ? {} : { bootFiles: merged["boot-files"] }),
    apiPort: merged["api-port"],
    apiAddress: merged["api-address"],
    apiTls: tlsConfig(sources, said),
    users: merged.user ?? [],
    dhcp: dhcpConfig(sources, said),
    registration: merged.registration,
    ...(merged["default-image"] === undefined ? {} : { defaultImage: merged["default-image"] }),
    cacheBytes:
      bytes("cache", "a size of at least 16M, like 256M or 4G", (n) => n >= limits.cacheBytesMin) ?? defaults.cache,
    ramBytes: bytes("ram", "a size like 512M or 16G, or 0"),
    scrubBytesPerSecond:
      bytes(
        "scrub-rate",
        "bytes a second, at least 64K, like 16M, or 0 for none",
        (n) => n === 0 || n >= limits.scrubBytesPerSecondMin,
      ) ?? defaults["scrub-rate"],
    scrubEveryDays: merged["scrub-every-days"],
    overlayReserveBytes: bytes("overlay-reserve", "a size like 512M or 16G, or 0"),
    overlayQuotaBytes: bytes("overlay-quota", "a size like 512M or 16G"),
    mergeLayersAfter: merged["merge-layers-after"],
    logLevel: merged["log-level"],
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

const tlsConfig = (
  sources: ReadonlyArray<ConfigSource>,
  { "api-cert": cert, "api-key": key }: ConfigFile,
): ServeConfig["apiTls"] => {
  if (cert === undefined && key === undefined) return undefined
  if (cert !== undefined && key !== undefined) return { cert, key }
  const [given, missing] = cert === undefined ? (["api-key", "api-cert"] as const) : (["api-cert", "api-key"] as const)
  throw refuse(sources, given, `a certificate and its key are named together; expected ${missing} too`)
}

const dhcpConfig = (sources: ReadonlyArray<ConfigSource>, said: ConfigFile): DhcpConfig | undefined => {
  const { dhcp: mode, interface: name } = said
  // Who sets a range and forgets to say what for would look for its fault in the network.
  const idle =
    mode === undefined ? settingKeys.find((key) => key.startsWith("dhcp-") && said[key] !== undefined) : undefined
  if (idle !== undefined)
    throw refuse(
      sources,
      idle,
      "says nothing while dhcp is not set; expected dhcp to be full or proxy, or off to keep the rest for later",
    )
  if (mode === undefined || mode === "off") return undefined
  if (name === undefined)
    throw refuse(sources, "dhcp", `${mode} needs the interface that it serves, like --interface eth1`)
  const own = {
    range: said["dhcp-range"],
    routers: list(said["dhcp-router"]),
    "name-servers": list(said["dhcp-name-server"]),
    domain: said["dhcp-domain"],
    "lease-seconds": said["dhcp-lease-seconds"],
  }
  return {
    mode,
    interface: name,
    port: said["dhcp-port"] ?? defaults["dhcp-port"],
    proxyPort: said["dhcp-proxy-port"] ?? defaults["dhcp-proxy-port"],
    answers: said["dhcp-answers"] ?? defaults["dhcp-answers"],
    unconfined: said["dhcp-unconfined"] === "allow",
    own: Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined)),
    relayed: said.subnet ?? [],
    firmware: said.firmware ?? [],
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
  const said = sources.findLast((s) => s.settings[key] !== undefined)?.settings[key]
  if (said === undefined) return undefined
  const bytes = parseBytes(said)
  if (bytes !== undefined && fits(bytes)) return bytes
  throw refuse(sources, key, `expected ${expected}, got ${JSON.stringify(said)}`)
}
