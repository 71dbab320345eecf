/**
 * What is to be known of each setting beside its shape: when a changed one takes effect, and what its text is.
 *
 * | `applies`   | a server that is told to read its settings again                                         |
 * | ----------- | ---------------------------------------------------------------------------------------- |
 * | `reload`    | goes by the new value from then on; of a file, by what is in it now                      |
 * | `restart`   | keeps what it started with, and says so by the setting's name                            |
 */
import type { ConfigFile } from "./config-file.ts"

export interface SettingTraits {
  readonly applies: "reload" | "restart"
  /** `path`: relative to the file that says it; `word`: digits in it are no number. */
  readonly text?: "path" | "word"
}

export const settingTraits: Readonly<Record<keyof ConfigFile, SettingTraits>> = {
  address: { applies: "restart", text: "word" },
  "nbd-port": { applies: "restart" },
  "tftp-port": { applies: "restart" },
  "iscsi-port": { applies: "restart" },
  "iscsi-secrets": { applies: "reload", text: "path" },
  "iscsi-redirect": { applies: "reload", text: "word" },
  "iscsi-moved": { applies: "reload", text: "word" },
  "http-port": { applies: "restart" },
  "boot-files": { applies: "reload", text: "path" },
  "api-port": { applies: "restart" },
  "api-address": { applies: "restart", text: "word" },
  "api-cert": { applies: "reload", text: "path" },
  "api-key": { applies: "reload", text: "path" },
  user: { applies: "reload" },
  interface: { applies: "restart", text: "word" },
  dhcp: { applies: "restart" },
  "dhcp-port": { applies: "restart" },
  "dhcp-proxy-port": { applies: "restart" },
  "dhcp-answers": { applies: "reload" },
  "dhcp-unconfined": { applies: "restart" },
  "dhcp-range": { applies: "reload" },
  "dhcp-router": { applies: "reload" },
  "dhcp-name-server": { applies: "reload" },
  "dhcp-domain": { applies: "reload" },
  "dhcp-lease-seconds": { applies: "reload" },
  subnet: { applies: "reload" },
  firmware: { applies: "reload" },
  registration: { applies: "reload", text: "word" },
  "default-image": { applies: "reload", text: "word" },
  cache: { applies: "restart" },
  ram: { applies: "restart" },
  "scrub-rate": { applies: "restart" },
  "scrub-every-days": { applies: "restart" },
  "overlay-reserve": { applies: "reload" },
  "overlay-quota": { applies: "reload" },
  "merge-layers-after": { applies: "restart" },
  "log-level": { applies: "reload", text: "word" },
  plugin: { applies: "restart" },
}
