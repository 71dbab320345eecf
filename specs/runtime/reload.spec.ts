/** Settings that are read again: each either holds at once or is named as one that waits, and none does both or neither. */
import { describe, expect, it } from "vitest"
import { defaults, effectiveConfig } from "../../core/runtime/config.ts"
import { type ConfigFile, settingKeys } from "../../core/runtime/config-file.ts"
import { changedSettings, liveConfig, settingsOf } from "../../core/runtime/reload.ts"
import { settingTraits } from "../../core/runtime/settings.ts"

const sources = (settings: ConfigFile) => [{ from: "imagelink.toml", settings }]
const reload = (before: ConfigFile, after: ConfigFile) => {
  const [running, told] = [effectiveConfig(sources(before)), effectiveConfig(sources(after))]
  const next = liveConfig(running, told)
  const changed = changedSettings(settingsOf(sources(before)), settingsOf(sources(after)), running, told)
  return { running, told, next, ...changed }
}

const dhcp = { dhcp: "full", interface: "eth1" } as const
const tls = { "api-cert": "a.pem", "api-key": "a.key" } as const

/** Two values of each setting, with what they need beside them. */
const values: { readonly [K in keyof Required<ConfigFile>]: readonly [ConfigFile, ConfigFile] } = {
  address: [{ address: "127.0.0.1" }, { address: "127.0.0.2" }],
  "nbd-port": [{}, { "nbd-port": "off" }],
  "tftp-port": [{}, { "tftp-port": 69 }],
  "iscsi-port": [{ "iscsi-port": 3260 }, { "iscsi-port": 3261 }],
  "iscsi-secrets": [{}, { "iscsi-secrets": "secrets.toml" }],
  "iscsi-redirect": [{ "iscsi-redirect": "10.0.0.2" }, {}],
  "iscsi-moved": [{}, { "iscsi-moved": "10.0.0.2" }],
  "http-port": [{}, { "http-port": 80 }],
  "boot-files": [{ "boot-files": "a" }, {}],
  "api-port": [{}, { "api-port": 1 }],
  "api-address": [{}, { "api-address": "127.0.0.2" }],
  "api-cert": [tls, { ...tls, "api-cert": "b.pem" }],
  "api-key": [tls, { ...tls, "api-key": "b.key" }],
  user: [{}, { user: [{ name: "desk", role: "viewer" }] }],
  interface: [dhcp, { ...dhcp, interface: "eth2" }],
  dhcp: [dhcp, { ...dhcp, dhcp: "proxy" }],
  "dhcp-port": [dhcp, { ...dhcp, "dhcp-port": 6767 }],
  "dhcp-proxy-port": [dhcp, { ...dhcp, "dhcp-proxy-port": 6768 }],
  "dhcp-answers": [dhcp, { ...dhcp, "dhcp-answers": "all" }],
  "dhcp-unconfined": [dhcp, { ...dhcp, "dhcp-unconfined": "allow" }],
  "dhcp-range": [dhcp, { ...dhcp, "dhcp-range": "10.0.0.5-10.0.0.9" }],
  "dhcp-router": [dhcp, { ...dhcp, "dhcp-router": "10.0.0.254" }],
  "dhcp-name-server": [dhcp, { ...dhcp, "dhcp-name-server": "10.0.0.254" }],
  "dhcp-domain": [dhcp, { ...dhcp, "dhcp-domain": "lab" }],
  "dhcp-lease-seconds": [dhcp, { ...dhcp, "dhcp-lease-seconds": 60 }],
  subnet: [dhcp, { ...dhcp, subnet: [{ network: "10.1.0.0/24" }] }],
  firmware: [dhcp, { ...dhcp, firmware: [{ program: "ipxe.efi" }] }],
  registration: [{}, { registration: "auto" }],
  "default-image": [{ "default-image": "a" }, { "default-image": "b" }],
  cache: [{}, { cache: "1G" }],
  ram: [{}, { ram: 0 }],
  "scrub-rate": [{}, { "scrub-rate": 0 }],
  "scrub-every-days": [{}, { "scrub-every-days": 1 }],
  "overlay-reserve": [{}, { "overlay-reserve": "1G" }],
  "overlay-quota": [{ "overlay-quota": "1G" }, {}],
  "merge-layers-after": [{}, { "merge-layers-after": 0 }],
  "log-level": [{}, { "log-level": "debug" }],
  plugin: [{}, { plugin: [{ module: "a" }] }],
}

describe("a changed setting", () => {
  it.each(settingKeys)("%s holds at once, or is as it was and said to wait", (key) => {
    const [before, after] = values[key]
    const { running, told, next, applied, restart } = reload(before, after)
    expect(told).not.toEqual(running)
    const live = settingTraits[key].applies === "reload"
    expect([applied, restart]).toEqual(live ? [[key], []] : [[], [key]])
    expect(next).toEqual(live ? told : running)
    // and back
    expect(reload(after, before).next).toEqual(live ? running : told)
  })

  it("is none where the same is said in other words: a default, said", () => {
    const { applied, restart } = reload({}, { ...defaults })
    expect([applied, restart]).toEqual([[], []])
  })

  it("holds although another one beside it waits", () => {
    const { next, running, applied, restart } = reload({}, { cache: "1G", "log-level": "error" })
    expect([applied, restart]).toEqual([["log-level"], ["cache"]])
    expect(next).toEqual({ ...running, logLevel: "error" })
  })
})

describe("what leans on a setting that waits", () => {
  it("waits with it: a range for DHCP that is off, and one taken away together with DHCP", () => {
    const on = { ...dhcp, "dhcp-range": "10.0.0.5-10.0.0.9" }
    for (const [before, after] of [
      [{}, on],
      [on, {}],
    ] as const) {
      const { next, running, applied, restart } = reload(before, after)
      expect([applied, restart]).toEqual([[], ["interface", "dhcp", "dhcp-range"]])
      expect(next.dhcp).toEqual(running.dhcp)
    }
  })

  it("waits with it: a certificate for a port that speaks no TLS yet", () => {
    const { next, applied, restart } = reload({}, tls)
    expect([applied, restart, next.apiTls]).toEqual([[], ["api-cert", "api-key"], undefined])
    expect(reload(tls, {}).next.apiTls).toEqual({ cert: "a.pem", key: "a.key" })
  })
})
