/** One listener for each protocol that is on: what it is told, and who hears of what happens there. */
import { readFileSync, statSync } from "node:fs"
import { parse } from "smol-toml"
import type { Disks } from "../core/block/lease.ts"
import { fail, isImagelinkError } from "../core/errors.ts"
import { type BootFiles, folderFiles, withAutoexec } from "../core/runtime/boot-files.ts"
import { bootFolder } from "../core/runtime/boot-folder.ts"
import { autoexecScript, NEXT_SERVER } from "../core/runtime/boot-script.ts"
import type { BootScripts } from "../core/runtime/boot-scripts.ts"
import type { BootSign, BootSigns } from "../core/runtime/boot-signs.ts"
import type { LivePeers } from "../core/runtime/live-peers.ts"
import type { BootPasswordOf } from "./compose-boots.ts"
import { serveDhcp } from "./compose-dhcp.ts"
import { isWildcard, type Listeners, type Run } from "./compose-run.ts"
import { httpBootSign } from "./http/boot-sign.ts"
import { describeHttpEvent, type HttpEvent } from "./http/events.ts"
import { listenHttp } from "./http/server.ts"
import { describeIscsiEvent } from "./iscsi/describe-event.ts"
import { decodeElsewhere } from "./iscsi/elsewhere.ts"
import { folderKeeper } from "./iscsi/keeper.ts"
import { portalAddress } from "./iscsi/portal-address.ts"
import { decodeSecrets, type SecretOf } from "./iscsi/secrets.ts"
import { listenIscsi } from "./iscsi/server.ts"
import type { NbdEvent } from "./nbd/connection.ts"
import { describeNbdEvent } from "./nbd/describe-event.ts"
import { listenNbd } from "./nbd/server.ts"
import { tftpBootSign } from "./tftp/boot-sign.ts"
import { describeTftpEvent, type TftpEvent } from "./tftp/events.ts"
import { listenTftp } from "./tftp/server.ts"

const takeSign = (signs: BootSigns, sign: BootSign | undefined): void => {
  if (sign !== undefined) signs.take(sign)
}

export const listenForNbd = async (run: Run, disks: Disks): Promise<Listeners> => {
  const { config, onEvent, counts } = run
  const { address, nbdPort: port } = config
  if (port === "off") return {}
  const take = (e: NbdEvent) => {
    onEvent(describeNbdEvent(e))
    counts.event("nbd", e.type)
  }
  const nbd = await listenNbd({ address, port, disks, host: run.opened.host, onEvent: take })
  run.closing(nbd.close)
  return { nbd: `${nbd.address}:${nbd.port}` }
}

export const listenForIscsi = async (
  run: Run,
  disks: Disks,
  { secretOf, bootPassword }: { readonly secretOf: SecretOf; readonly bootPassword: BootPasswordOf },
): Promise<Listeners> => {
  const { config, onEvent, counts } = run
  const { data, host } = run.opened
  const { address, iscsiPort: port, iscsiElsewhere = {} } = config
  if (port === "off") return {}
  const iscsi = await listenIscsi({
    address,
    port,
    disks,
    keeper: folderKeeper(data.folder("reservations")),
    host,
    elsewhereOf: decodeElsewhere(iscsiElsewhere, portalAddress(address, port)),
    secretOf,
    bootSecretOf: (target) => {
      const known = target.boot === undefined ? undefined : bootPassword(target.client, target.boot)
      if (known === undefined) return undefined
      const given = known.isSuper || secretOf(target) !== undefined
      return { user: target.client, secret: Buffer.from(known.password, "latin1"), given }
    },
    onEvent(e) {
      onEvent(describeIscsiEvent(e, config.logLevel === "debug"))
      counts.event("iscsi", e.type)
    },
  })
  run.closing(iscsi.close)
  return { iscsi: `${iscsi.address}:${iscsi.port}` }
}

/** Nobody is asked for one where no file is named. @throws FILE_UNREADABLE CONFIG_INVALID */
export const secretsOf = ({ config }: Run): SecretOf =>
  config.iscsiSecrets === undefined ? () => undefined : readSecrets(config.iscsiSecrets)

/** A file of secrets is its owner's alone. */
const readSecrets = (file: string): SecretOf => {
  let text: string
  try {
    if (process.platform !== "win32" && (statSync(file).mode & 0o077) !== 0)
      throw fail("CONFIG_INVALID", { file, why: `other users may read the secrets in it; run chmod 600 ${file}` })
    text = readFileSync(file, "utf8")
  } catch (e) {
    throw isImagelinkError(e) ? e : fail("FILE_UNREADABLE", { path: file, why: (e as Error).message })
  }
  let input: unknown
  try {
    input = parse(text)
  } catch {
    // What a parser quotes of a line may be a secret.
    throw fail("CONFIG_INVALID", { file, why: "it is not TOML" })
  }
  return decodeSecrets(file, input)
}

export const listenForHttp = async (
  run: Run,
  scripts: BootScripts,
  signs: BootSigns,
  rebootWanted: (mac: string) => boolean,
): Promise<Listeners> => {
  const { dataDir, config, onEvent, counts } = run
  const { address, httpPort: port } = config
  if (port === "off") return {}
  const files = folderFiles(await bootFolder(config.bootFiles, dataDir))
  const take = (e: HttpEvent) => {
    onEvent(describeHttpEvent(e))
    takeSign(signs, httpBootSign(e))
    counts.event("http", e.type, e.type === "sent" ? e.bytes : 0)
  }
  const http = await listenHttp({ address, port, files, scripts, rebootWanted, onEvent: take })
  run.closing(http.close)
  return { http: `${http.address}:${http.port}` }
}

/** Where a client that came by TFTP finds its script. Listening on every address, that is where it got its file from. */
const autoexecFor = (http: string): string => {
  const port = http.slice(http.lastIndexOf(":"))
  const address = http.slice(0, -port.length)
  return autoexecScript(`http://${isWildcard(address) ? NEXT_SERVER : address}${port}`)
}

/** `http`: where scripts are. */
export const listenForTftp = async (run: Run, http: string | undefined, signs: BootSigns): Promise<Listeners> => {
  const { dataDir, config, onEvent, counts, sockets } = run
  const { address, tftpPort: port } = config
  if (port === "off") return {}
  const folder = folderFiles(await bootFolder(config.bootFiles, dataDir))
  const files: BootFiles = http === undefined ? folder : withAutoexec(folder, autoexecFor(http))
  const [handed] = sockets.take(port, 1)
  const take = (e: TftpEvent) => {
    onEvent(describeTftpEvent(e))
    takeSign(signs, tftpBootSign(e))
    counts.event("tftp", e.type, e.type === "done" ? e.sizeBytes : 0)
  }
  const tftp = await listenTftp({ address, port, socket: handed?.socket, files, onEvent: take })
  run.closing(tftp.close)
  return { tftp: `${tftp.address}:${tftp.port}` }
}

/** `listeners`: what PCs are sent to. */
export const listenForDhcp = async (
  run: Run,
  live: LivePeers,
  signs: BootSigns,
  listeners: { readonly tftp?: string | undefined; readonly http?: string | undefined },
): Promise<Listeners> => {
  const { dataDir, config, onEvent, counts, sockets, opened } = run
  const { dhcp } = config
  if (dhcp === undefined) return {}
  const handed = [...sockets.take(dhcp.port), ...sockets.take(dhcp.proxyPort)]
  const server = await serveDhcp({ dataDir, config, dhcp, opened, live, signs, counts, listeners, handed, onEvent })
  run.closing(server.close)
  return { dhcp: `${server.address}:${server.port}`, "dhcp-proxy": `${server.address}:${server.proxyPort}` }
}
