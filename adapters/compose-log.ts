/** What lines of the server's log are about, by the protocol that told of it; and the one line of a boot. */
import type { Boot } from "../core/runtime/boot-recorder.ts"
import { errorAbout, type LogAbout, type LogLine } from "../core/runtime/log-line.ts"
import type { DhcpEvent } from "./dhcp/server.ts"
import type { HttpEvent } from "./http/events.ts"
import { parseTargetName } from "./iscsi/names.ts"
import type { IscsiEvent } from "./iscsi/server.ts"
import type { NbdEvent } from "./nbd/connection.ts"
import type { TftpEvent } from "./tftp/events.ts"

export const aboutNbd = (e: NbdEvent): LogAbout => {
  const [, client] = /^client\/([^/]+)\//u.exec("export" in e ? (e.export ?? "") : "") ?? []
  const code = e.type === "refused" ? { code: e.code } : {}
  return { protocol: "nbd", address: e.peer, ...(client === undefined ? {} : { client }), ...code }
}

/** The second half of a boot id opens the disk. */
const BOOT_NAME_CHARS = 24

export const aboutIscsi = (e: IscsiEvent): LogAbout => {
  const target = parseTargetName(("target" in e ? e.target : undefined) ?? "")
  const boot = target?.boot === undefined ? {} : { boot: target.boot.slice(0, BOOT_NAME_CHARS) }
  const error = e.type === "not-ready" ? errorAbout(e.error) : {}
  const code = e.type === "refused" && e.code !== undefined ? { code: e.code } : {}
  return {
    ...{ protocol: "iscsi", address: e.peer },
    ...(target === undefined ? {} : { client: target.client, ...boot }),
    ...error,
    ...code,
  }
}

const hostOf = (peer: string): string => peer.replace(/^::ffff:/iu, "").replace(/(?<=^[\d.]+):\d+$/u, "")

export const aboutHttp = (e: HttpEvent): LogAbout =>
  e.type === "broken" ? { protocol: "http" } : { protocol: "http", address: hostOf(e.client) }

export const aboutTftp = (e: TftpEvent): LogAbout => ({
  protocol: "tftp",
  ...("client" in e ? { address: hostOf(e.client) } : {}),
  ...(e.type === "timeout" ? errorAbout(e.error) : {}),
})

export const aboutDhcp = (e: DhcpEvent): LogAbout => ({ protocol: "dhcp", ...("mac" in e ? { mac: e.mac } : {}) })

const seconds = (millis: number): string => (millis < 1000 ? `${millis} ms` : `${(millis / 1000).toFixed(1)} s`)

/** Once for each boot, when its stages are known. */
export const bootLine = (b: Boot): LogLine => {
  const { client, image, version, overlay, address, protocol, firmware, boot, stages } = b
  const took = stages.map(({ name, millis }, i) => `${name} ${seconds(millis - (stages[i - 1]?.millis ?? 0))}`)
  const whole = stages.length === 0 ? "" : `: ${seconds(stages.at(-1)!.millis)} (${took.join(", ")})`
  return {
    level: "info",
    text: `boot ${client.name} ${image.name}@${version} ${overlay} ${address} ${protocol} ${firmware ?? "-"}${whole}`,
    about: {
      ...{ protocol, client: client.name, mac: client.mac, address, image: image.name, version, firmware, boot },
      stages: Object.fromEntries(stages.map(({ name, millis }) => [name, millis])),
    },
  }
}
