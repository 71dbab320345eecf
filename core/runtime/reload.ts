/**
 * What a running server does with settings that were read again: which of them hold at once, and which wait for a restart.
 *
 *     sources ─► judged whole, as at a start ─► each part says what it would do ─► nobody refused: all do it
 *                  └─ refused                        └─ refused: everything stays as it was
 */
import { isDeepStrictEqual } from "node:util"
import { defaults, type ServeConfig } from "./config.ts"
import { type ConfigFile, type ConfigSource, settingKeys } from "./config-file.ts"
import { settingTraits } from "./settings.ts"

export interface Reloaded {
  /** Settings that hold from now on, and those whose files say something else now. */
  readonly applied: ReadonlyArray<string>
  /** Settings that were changed, and are as they were until a restart. */
  readonly restart: ReadonlyArray<string>
}

/** A part of the server that goes by settings which can change: it judges them, and answers how it turns to them. */
export type Reload = (next: ServeConfig) => Promise<Turn> | Turn
export interface Turn {
  /** Settings whose files say something else than when they were read last. */
  readonly read?: ReadonlyArray<string>
  /** Never fails. */
  apply(): void
}

/** What all sources say together, with what holds where nobody says otherwise. */
export const settingsOf = (sources: ReadonlyArray<ConfigSource>): ConfigFile =>
  Object.assign({}, defaults, ...sources.map((source) => source.settings))

/** The settings that a server which runs with `running` can go by, of those that it is told. */
export const liveConfig = (running: ServeConfig, told: ServeConfig): ServeConfig => ({
  ...told,
  address: running.address,
  nbdPort: running.nbdPort,
  tftpPort: running.tftpPort,
  iscsiPort: running.iscsiPort,
  httpPort: running.httpPort,
  apiPort: running.apiPort,
  apiAddress: running.apiAddress,
  apiTls: isTlsTurned(running, told) ? running.apiTls : told.apiTls,
  dhcp:
    running.dhcp === undefined || told.dhcp === undefined
      ? running.dhcp
      : { ...running.dhcp, answers: told.dhcp.answers, ...networksOf(told.dhcp) },
  cacheBytes: running.cacheBytes,
  ramBytes: running.ramBytes,
  mergeLayersAfter: running.mergeLayersAfter,
  scrubBytesPerSecond: running.scrubBytesPerSecond,
  scrubEveryDays: running.scrubEveryDays,
  plugins: running.plugins,
})

const networksOf = ({ own, relayed, firmware }: NonNullable<ServeConfig["dhcp"]>) => ({ own, relayed, firmware })

/** A port speaks TLS or it does not, from its start to its end. */
const isTlsTurned = (running: ServeConfig, told: ServeConfig): boolean =>
  (running.apiTls === undefined) !== (told.apiTls === undefined)

/** The keys whose values differ, by what becomes of them. */
export const changedSettings = (
  held: ConfigFile,
  said: ConfigFile,
  running: ServeConfig,
  told: ServeConfig,
): Reloaded => {
  const changed = settingKeys.filter((key) => !isDeepStrictEqual(held[key], said[key]))
  const isIdle = running.dhcp === undefined || told.dhcp === undefined
  const waits = (key: keyof ConfigFile): boolean => {
    if (settingTraits[key].applies === "restart") return true
    if (key === "api-cert" || key === "api-key") return isTlsTurned(running, told)
    return isIdle && (key.startsWith("dhcp-") || key === "subnet" || key === "firmware")
  }
  return { applied: changed.filter((key) => !waits(key)), restart: changed.filter(waits) }
}
