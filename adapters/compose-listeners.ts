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
import type { BootTracker } from "../core/runtime/boot-tracker.ts"
import type { ServeConfig } from "../core/runtime/config.ts"
import type { LivePeers } from "../core/runtime/live-peers.ts"
import type { BootPasswordOf } from "./compose-boots.ts"
import { isServable, serveDhcp } from "./compose-dhcp.ts"
import { aboutHttp, aboutIscsi, aboutNbd, aboutTftp } from "./compose-log.ts"
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
import { listenTftpInThread, type TftpThread } from "./tftp/thread.ts"

const takeSign = (signs: BootSigns, sign: BootSign | undefined): void => {
  if (sign !== undefined) signs.take(sign)
}

export const listenForNbd = async (run: Run, disks: Disks): Promise<Listeners> => {
  const { config, onEvent, counts } = run
  const { address, nbdPort: port } = config
  if (port === "off") return {}
  const take = (e: NbdEvent) => {
    onEvent({ ...describeNbdEvent(e), about: aboutNbd(e) })
    counts.event("nbd", e.type)
  }
  const nbd = await listenNbd({ address, port, disks, host: run.opened.host, onEvent: take })
  run.closing(nbd.close)
  run.listening("nbd", nbd.listens)
  return { nbd: `${nbd.address}:${nbd.port}` }
}

export const listenForIscsi = async (
  run: Run,
  disks: Disks,
  { secretOf, bootPassword }: { readonly secretOf: SecretOf; readonly bootPassword: BootPasswordOf },
): Promise<Listeners> => {
  const { onEvent, counts } = run
  const { data, host } = run.opened
  const { address, iscsiPort: port } = run.config
  if (port === "off") return {}
  const elsewhereIn = ({ iscsiElsewhere = {} }: ServeConfig) =>
    decodeElsewhere(iscsiElsewhere, portalAddress(address, port))
  let elsewhereOf = elsewhereIn(run.config)
  run.reloading((next) => {
    const read = elsewhereIn(next)
    return { apply: () => (elsewhereOf = read) }
  })
  const iscsi = await listenIscsi({
    address,
    port,
    disks,
    keeper: folderKeeper(data.folder("reservations")),
    host,
    elsewhereOf: (client) => elsewhereOf(client),
    secretOf,
    bootSecretOf: (target) => {
      const known = target.boot === undefined ? undefined : bootPassword(target.client, target.boot)
      if (known === undefined) return undefined
      const given = known.isSuper || secretOf(target) !== undefined
      return { user: target.client, secret: Buffer.from(known.password, "latin1"), given }
    },
    onEvent(e) {
      onEvent({ ...describeIscsiEvent(e, run.config.logLevel === "debug"), about: aboutIscsi(e) })
      counts.event("iscsi", e.type)
    },
  })
  run.closing(iscsi.close)
  run.listening("iscsi", iscsi.listens)
  return { iscsi: `${iscsi.address}:${iscsi.port}` }
}

/** Nobody is asked for one where no file is named. @throws FILE_UNREADABLE CONFIG_INVALID */
export const secretsOf = (run: Run): SecretOf => {
  let text = secretsText(run.config)
  let secretOf = decodeFile(run.config.iscsiSecrets, text)
  run.reloading((next) => {
    const read = secretsText(next)
    const decoded = decodeFile(next.iscsiSecrets, read)
    const apply = () => {
      text = read
      secretOf = decoded
    }
    return { apply, read: read === text ? [] : ["iscsi-secrets"] }
  })
  return (target) => secretOf(target)
}

/** As they are in the file now. @throws FILE_UNREADABLE CONFIG_INVALID */
export const secretsIn = (config: ServeConfig): SecretOf => decodeFile(config.iscsiSecrets, secretsText(config))

/** A file of secrets is its owner's alone. */
const secretsText = ({ iscsiSecrets: file }: ServeConfig): string | undefined => {
  if (file === undefined) return undefined
  try {
    if (process.platform !== "win32" && (statSync(file).mode & 0o077) !== 0)
      throw fail("CONFIG_INVALID", { file, why: `other users may read the secrets in it; run chmod 600 ${file}` })
    return readFileSync(file, "utf8")
  } catch (e) {
    throw isImagelinkError(e) ? e : fail("FILE_UNREADABLE", { path: file, why: (e as Error).message })
  }
}

const decodeFile = (file: string | undefined, text: string | undefined): SecretOf => {
  if (file === undefined || text === undefined) return () => undefined
  let input: unknown
  try {
    input = parse(text)
  } catch {
    // What a parser quotes of a line may be a secret.
    throw fail("CONFIG_INVALID", { file, why: "it is not TOML" })
  }
  return decodeSecrets(file, input)
}

/** Tells a listener the folder of boot files again where another one is named: a file that is open stays the one that it was. */
const bootFolderNow = async (run: Run, follow: (folder: string) => void): Promise<string> => {
  let folder = await bootFolder(run.config.bootFiles, run.dataDir)
  run.reloading(async ({ bootFiles: named }) => {
    const next = await bootFolder(named, run.dataDir)
    const apply = () => {
      if (next !== folder) follow(next)
      folder = next
    }
    return { apply }
  })
  return folder
}

/** Files of the folder that is named now. */
const bootFiles = async (run: Run, filesIn: (folder: string) => BootFiles = folderFiles): Promise<BootFiles> => {
  let files = filesIn(
    await bootFolderNow(run, (folder) => {
      files = filesIn(folder)
    }),
  )
  return { open: (name, peer) => files.open(name, peer) }
}

export const listenForHttp = async (
  run: Run,
  scripts: BootScripts,
  signs: BootSigns,
  rebootWanted: (mac: string) => boolean,
): Promise<Listeners> => {
  const { config, onEvent, counts } = run
  const { address, httpPort: port } = config
  if (port === "off") return {}
  const files = await bootFiles(run)
  const take = (e: HttpEvent) => {
    onEvent({ ...describeHttpEvent(e), about: aboutHttp(e) })
    takeSign(signs, httpBootSign(e))
    counts.event("http", e.type, e.type === "sent" ? e.bytes : 0)
  }
  const http = await listenHttp({ address, port, files, scripts, rebootWanted, onEvent: take })
  run.closing(http.close)
  run.listening("http", http.listens)
  return { http: `${http.address}:${http.port}` }
}

/** Where a client that came by TFTP finds its script. Listening on every address, that is where it got its file from. */
const autoexecFor = (http: string): string => {
  const port = http.slice(http.lastIndexOf(":"))
  const address = http.slice(0, -port.length)
  return autoexecScript(`http://${isWildcard(address) ? NEXT_SERVER : address}${port}`)
}

/** Bundled, it lies beside the folder of chunks. */
const threadEntry = import.meta.url.endsWith(".ts")
  ? new URL("./compose-transfers.ts", import.meta.url)
  : new URL("../transfers.mjs", import.meta.url)

const filesOf = (folder: string, autoexec: string | undefined): BootFiles =>
  autoexec === undefined ? folderFiles(folder) : withAutoexec(folderFiles(folder), autoexec)

/** `http`: where scripts are. A socket that was handed over is this thread's, so what comes to it is served here. */
export const listenForTftp = async (run: Run, http: string | undefined, signs: BootSigns): Promise<Listeners> => {
  const { config, onEvent, counts, sockets } = run
  const { address, tftpPort: port } = config
  if (port === "off") return {}
  const autoexec = http === undefined ? undefined : autoexecFor(http)
  const [handed] = sockets.take(port, 1)
  const take = (e: TftpEvent) => {
    onEvent({ ...describeTftpEvent(e), about: aboutTftp(e) })
    takeSign(signs, tftpBootSign(e))
    counts.event("tftp", e.type, e.type === "done" ? e.sizeBytes : 0)
  }
  const tftp =
    handed === undefined
      ? await tftpInThread(run, autoexec, take)
      : await listenTftp({
          ...{ address, port, socket: handed.socket, onEvent: take },
          files: await bootFiles(run, (folder) => filesOf(folder, autoexec)),
        })
  run.closing(tftp.close)
  run.listening("tftp", tftp.listens)
  return { tftp: `${tftp.address}:${tftp.port}` }
}

const tftpInThread = async (run: Run, autoexec: string | undefined, take: (e: TftpEvent) => void) => {
  const { address, tftpPort } = run.config
  let thread: TftpThread | undefined
  const folder = await bootFolderNow(run, (next) => thread?.serve(next))
  thread = await listenTftpInThread(threadEntry, { address, port: Number(tftpPort), folder, autoexec }, take)
  return thread
}

/** `listeners`: what PCs are sent to. */
export const listenForDhcp = async (
  run: Run,
  live: LivePeers,
  signs: BootTracker,
  listeners: { readonly tftp?: string | undefined; readonly http?: string | undefined },
): Promise<Listeners> => {
  const { onEvent, counts, sockets } = run
  const { dhcp } = run.config
  if (dhcp === undefined) return {}
  const handed = [...sockets.take(dhcp.port), ...sockets.take(dhcp.proxyPort)]
  const server = await serveDhcp({ run, dhcp, live, signs, counts, listeners, handed, onEvent })
  run.closing(server.close)
  run.listening("dhcp", server.listens)
  run.listening(`dhcp on ${dhcp.interface}`, () => isServable(run.config))
  return { dhcp: `${server.address}:${server.port}`, "dhcp-proxy": `${server.address}:${server.proxyPort}` }
}
