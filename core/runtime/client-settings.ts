/**
 * What holds for a client's boots, key by key, and who says so: the client itself, one of its groups, the site, or nobody.
 *
 * **Details** Every boot option that something reads is here, also where nobody sets it; one that nobody knows is too, because boot scripts of one's own may read it.
 */
import type { Catalogue, ClientEntry } from "../domain/catalogue.ts"
import { effectiveOptions } from "../domain/group-links.ts"
import { limits } from "../limits.ts"
import { QUOTA_OPTION } from "./overlay-quota.ts"

export interface ClientSetting {
  readonly key: string
  readonly value: string
  /** `own`; `group:lab`; `site`: the server was told so; `default`: nobody says anything else. */
  readonly source: string
}

/** What a server was told for all clients; undefined: nothing. */
export type SiteSettings = Readonly<Record<string, string | undefined>>

/** Of each option, what it is where nobody sets it. */
const defaults: Readonly<Record<string, string>> = {
  "boot-program": "by firmware",
  fallback: "none",
  filename: "the firmware's own",
  gateway: "cleared within one subnet",
  hook: "first",
  menu: "none",
  "menu-timeout": String(limits.bootMenuSecondsDefault),
  [QUOTA_OPTION]: "none",
}

/** In order of their keys. `site`: of the server that runs; what only it can tell is left out without it. */
export const clientSettings = (
  catalogue: Catalogue,
  client: ClientEntry,
  site: SiteSettings | undefined,
): ReadonlyArray<ClientSetting> => {
  const found = new Map<string, ClientSetting>()
  for (const setting of effectiveOptions(catalogue, client)) found.set(setting.key, setting)
  for (const [key, value] of Object.entries(site ?? {}))
    if (value !== undefined && !found.has(key)) found.set(key, { key, value, source: "site" })
  for (const [key, value] of Object.entries(defaults))
    if (!found.has(key) && (site !== undefined || key !== QUOTA_OPTION))
      found.set(key, { key, value, source: "default" })
  return [...found.values()].sort((a, b) => (a.key < b.key ? -1 : 1))
}
