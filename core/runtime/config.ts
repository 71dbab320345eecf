/** What `serve` can be told: by flag, by IMAGELINK_* or in imagelink.toml, in that order of weight. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { fail } from "../errors.ts"
import { limits } from "../limits.ts"
import { parseBytes } from "./sizes.ts"

const PortOrOff = Schema.Union([
  Schema.Literal("off"),
  Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 65_535 })),
])
const Size = Schema.Union([Schema.String, Schema.Int])

export const ConfigFile = Schema.Struct({
  address: Schema.optionalKey(Schema.String),
  "nbd-port": Schema.optionalKey(PortOrOff),
  "tftp-port": Schema.optionalKey(PortOrOff),
  "iscsi-port": Schema.optionalKey(PortOrOff),
  "http-port": Schema.optionalKey(PortOrOff),
  "boot-files": Schema.optionalKey(Schema.String),
  registration: Schema.optionalKey(Schema.Literals(["closed", "ask", "auto"])),
  "default-image": Schema.optionalKey(Schema.String),
  cache: Schema.optionalKey(Size),
  ram: Schema.optionalKey(Size),
  "scrub-rate": Schema.optionalKey(Size),
  "scrub-every-days": Schema.optionalKey(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: limits.scrubEveryDaysMax })),
  ),
  "overlay-reserve": Schema.optionalKey(Size),
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
  readonly httpPort: number | "off"
  /** Folder that TFTP and HTTP serve; where nobody names one, the server looks for one. */
  readonly bootFiles?: string
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
  /** Layers that a version is read over before they are merged in the background; 0: never. */
  readonly mergeLayersAfter: number
  readonly logLevel: "error" | "info" | "debug"
  /** ES modules of third-party plugins, as written; relative ones are relative to the file that names them. */
  readonly plugins: ReadonlyArray<string>
}

export const NBD_PORT = 10_809

/** Judges one source of settings. @throws CONFIG_INVALID naming the key */
export const decodeConfig = (file: string, input: unknown): ConfigFile => {
  const decoded = Schema.decodeUnknownResult(ConfigFile, { onExcessProperty: "error", errors: "all" })(input)
  if (Result.isFailure(decoded))
    throw fail("CONFIG_INVALID", { file, why: decoded.failure.message.replaceAll(/\s*\n\s*/g, " ") })
  return decoded.success
}

type Key = Exclude<keyof ConfigFile, "plugin">

const keys = Object.keys(ConfigFile.fields).filter((key): key is Key => key !== "plugin")

/** Settings that are words: digits in them are no number. */
const words: ReadonlySet<Key> = new Set<Key>(["address", "boot-files", "log-level", "registration", "default-image"])

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
    httpPort: merged["http-port"] ?? "off",
    ...(merged["boot-files"] === undefined ? {} : { bootFiles: merged["boot-files"] }),
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
    mergeLayersAfter: merged["merge-layers-after"] ?? limits.mergeLayersAfterDefault,
    logLevel: merged["log-level"] ?? "info",
    plugins: sources.flatMap((s) => s.settings.plugin ?? []).map((p) => p.module),
  }
}

type SizeKey = "cache" | "ram" | "scrub-rate" | "overlay-reserve"

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
