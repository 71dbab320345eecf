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
  "iscsi-secrets": Schema.optionalKey(Schema.String),
  "boot-files": Schema.optionalKey(Schema.String),
  cache: Schema.optionalKey(Size),
  ram: Schema.optionalKey(Size),
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
  /** Folder that TFTP serves; where nobody names one, the server looks for one. */
  readonly bootFiles?: string
  readonly cacheBytes: number
  /** For images placed in RAM, all together; undefined: a quarter of the memory that is available at the start. */
  readonly ramBytes: number | undefined
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

/** The effective settings: later sources win, key by key. @throws CONFIG_INVALID */
export const effectiveConfig = (
  sources: ReadonlyArray<{ readonly from: string; readonly settings: ConfigFile }>,
): ServeConfig => {
  const merged: ConfigFile = Object.assign({}, ...sources.map((s) => s.settings))
  const sizeFrom = sources.findLast((s) => s.settings.cache !== undefined)?.from ?? ""
  const cacheBytes = merged.cache === undefined ? limits.cacheBytesDefault : parseBytes(merged.cache)
  if (cacheBytes === undefined || cacheBytes < limits.cacheBytesMin)
    throw fail("CONFIG_INVALID", {
      file: sizeFrom,
      why: `cache: expected a size of at least 16M, like 256M or 4G, got ${JSON.stringify(merged.cache)}`,
    })
  const ramBytes = merged.ram === undefined ? undefined : parseBytes(merged.ram)
  if (merged.ram !== undefined && ramBytes === undefined)
    throw fail("CONFIG_INVALID", {
      file: sources.findLast((s) => s.settings.ram !== undefined)!.from,
      why: `ram: expected a size like 512M or 16G, or 0, got ${JSON.stringify(merged.ram)}`,
    })
  return {
    address: merged.address ?? "127.0.0.1",
    nbdPort: merged["nbd-port"] ?? NBD_PORT,
    tftpPort: merged["tftp-port"] ?? "off",
    iscsiPort: merged["iscsi-port"] ?? "off",
    ...(merged["iscsi-secrets"] === undefined ? {} : { iscsiSecrets: merged["iscsi-secrets"] }),
    ...(merged["boot-files"] === undefined ? {} : { bootFiles: merged["boot-files"] }),
    cacheBytes,
    ramBytes,
    logLevel: merged["log-level"] ?? "info",
    plugins: sources.flatMap((s) => s.settings.plugin ?? []).map((p) => p.module),
  }
}
