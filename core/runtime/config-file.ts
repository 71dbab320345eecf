/** The settings that imagelink.toml may say, as a schema; flags and IMAGELINK_* say the same, but for the tables. */
import * as Schema from "effect/Schema"
import { limits } from "../limits.ts"

const Port = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 65_535 }))
const PortOrOff = Schema.Union([Schema.Literal("off"), Port])
const LeaseSeconds = Schema.Int.check(Schema.isBetween({ minimum: 60, maximum: 0xffff_fffe }))
const Size = Schema.Union([Schema.String, Schema.Int])

/** A network that DHCP serves; that of the interface has no `network`, and its keys are those that begin with `dhcp-`. */
export const SubnetConfig = Schema.Struct({
  network: Schema.optionalKey(Schema.String),
  range: Schema.optionalKey(Schema.String),
  routers: Schema.optionalKey(Schema.Array(Schema.String)),
  "name-servers": Schema.optionalKey(Schema.Array(Schema.String)),
  domain: Schema.optionalKey(Schema.String),
  "lease-seconds": Schema.optionalKey(LeaseSeconds),
})
export type SubnetConfig = typeof SubnetConfig.Type

/** What a user of this machine may do over the server's socket. */
export const UserConfig = Schema.Struct({
  name: Schema.String,
  role: Schema.Literals(["viewer", "auditor", "operator", "admin"]),
})
export type UserConfig = typeof UserConfig.Type

/** What some firmware boots, instead of what DHCP would choose for it; everything that is named has to fit. */
export const FirmwareConfig = Schema.Struct({
  program: Schema.String,
  "vendor-class": Schema.optionalKey(Schema.String),
  mac: Schema.optionalKey(Schema.String),
  machine: Schema.optionalKey(Schema.String),
  product: Schema.optionalKey(Schema.String),
  architecture: Schema.optionalKey(Schema.Int),
})
export type FirmwareConfig = typeof FirmwareConfig.Type

export const PluginConfig = Schema.Struct({ module: Schema.String })

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
  plugin: Schema.optionalKey(Schema.Array(PluginConfig)),
})
export type ConfigFile = typeof ConfigFile.Type
export const settingKeys: ReadonlyArray<keyof ConfigFile> = Object.keys(ConfigFile.fields) as Array<keyof ConfigFile>

/** The line of a source on which a setting is said, where the source has lines. */
export type LineOf = (path: ReadonlyArray<string | number>) => number | undefined

export interface ConfigSource {
  readonly from: string
  readonly settings: ConfigFile
  readonly lineOf?: LineOf
}
