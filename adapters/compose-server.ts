/**
 * The composition root's other half: a running server is the opened site, its disks, and one listener for each protocol.
 *
 * It stands apart from compose.ts so that a command which only asks something loads no protocol. What starts last stops first.
 */
import { readFileSync, statSync } from "node:fs"
import { hostname } from "node:os"
import { parse } from "smol-toml"
import { fail, type ImagelinkError, isImagelinkError } from "../core/errors.ts"
import { followLog } from "../core/log/tiles/follower.ts"
import { catalogueProjection } from "../core/projections/catalogue.ts"
import { makeBootRecorder } from "../core/runtime/boot-recorder.ts"
import type { ServeConfig } from "../core/runtime/config.ts"
import type { DiskService } from "../core/runtime/disks.ts"
import { checkUnverified } from "../core/runtime/first-checks.ts"
import { makeLocalSite, operationNames } from "../core/runtime/local-site.ts"
import { makeChange } from "../core/runtime/operations/change.ts"
import { OVERLAYS } from "../core/runtime/overlay-folders.ts"
import { makeServing } from "../core/runtime/serving.ts"
import type { Site } from "../core/runtime/site.ts"
import { listenControl } from "./api/server.ts"
import { socketPath } from "./api/socket-path.ts"
import { composeWith, type OpenedSite, openParts, tokens } from "./compose.ts"
import { describeIscsiEvent } from "./iscsi/describe-event.ts"
import { folderKeeper } from "./iscsi/keeper.ts"
import { decodeSecrets, type SecretOf } from "./iscsi/secrets.ts"
import { listenIscsi } from "./iscsi/server.ts"
import { describeNbdEvent } from "./nbd/describe-event.ts"
import { type DiskClient, openNbdDisk } from "./nbd/disk-client.ts"
import { listenNbd } from "./nbd/server.ts"
import { bootFolder } from "./tftp/boot-folder.ts"
import { describeTftpEvent } from "./tftp/events.ts"
import { folderFiles } from "./tftp/files.ts"
import { listenTftp } from "./tftp/server.ts"

/** A line of the server's own log. */
export interface ServerEvent {
  readonly level: "error" | "info" | "debug"
  readonly text: string
}

export interface ServerOptions {
  readonly dataDir: string
  readonly config: ServeConfig
  readonly onEvent: (event: ServerEvent) => void
}

export interface RunningServer {
  readonly site: Site
  /** Protocol to `address:port`; the control socket's is its path. */
  readonly listeners: Readonly<Record<string, string>>
  /** A client of the block protocol that is served, for the demo. */
  openDisk(name: string): Promise<DiskClient>
  close(): Promise<void>
}

/** Opens the store and serves. @throws what opening throws, PORT_IN_USE LISTEN_FAILED CONFIG_INVALID PLUGIN_INVALID DATA_IN_USE */
export const startServer = async (options: ServerOptions): Promise<RunningServer> => {
  const { dataDir, config } = options
  const container = composeWith(dataDir, async () => config.plugins)
  await container.resolve(tokens.registry)()
  const opened = await openParts({ dataDir, create: true, whole: true, container })
  let serves = false
  const closers: Closers = [() => opened.release({ unused: !serves })]
  try {
    await followEvents(options, opened, closers)
    const { site, disks, background } = await serveDisks(options, opened, closers)
    const nbd = await listenForNbd(options, disks, closers)
    const iscsi = await listenForIscsi(options, opened, disks, closers)
    const tftp = await listenForTftp(options, closers)
    const control = await listenControl(socketPath(dataDir), site, operationNames)
    closers.push(control.close)
    serves = true
    background()
    const listeners = { ...nbd, ...iscsi, ...tftp, control: control.path }
    return { site, listeners, openDisk: (name) => openNbdDisk(nbd.nbd ?? "", name), close: () => closeAll(closers) }
  } catch (e) {
    await closeAll(closers)
    throw e
  }
}

type Closers = Array<() => Promise<void>>

const closeAll = async (closers: Closers): Promise<void> => {
  for (const stop of closers.splice(0).reverse()) await stop()
}

/** A log that is behind its own checkpoint, or another one, is not served. What goes wrong later is reported, and the log goes on. */
const followEvents = async ({ onEvent }: ServerOptions, { parts }: OpenedSite, closers: Closers): Promise<void> => {
  const publisher = await parts.publisher()
  await publisher.check()
  const onError = (e: ImagelinkError) =>
    onEvent({ level: "error", text: `${e.message} [${e.code}]; ${e.reason}; fix: ${e.fix}` })
  closers.push(followLog(publisher, onError).close)
}

const serverActor = { kind: "server", name: hostname() } as const

const later = (run: () => void, millis: number) => {
  const timer = setTimeout(run, millis)
  return () => clearTimeout(timer)
}

const serveDisks = async ({ config, onEvent }: ServerOptions, { parts, data, host }: OpenedSite, closers: Closers) => {
  const onDamage = (e: ImagelinkError) => onEvent({ level: "error", text: `${e.message} [${e.code}]; fix: ${e.fix}` })
  const overlays = data.folder(OVERLAYS)
  const change = makeChange(parts)
  const boots = makeBootRecorder({
    append: (group) => change({ type: "RecordBoots", boots: group }, { actor: serverActor }),
    later,
    onProblem: (text) => onEvent({ level: "error", text }),
  })
  const { cacheBytes, ramBytes } = config
  const onNotInRam = (e: ImagelinkError) =>
    onEvent({
      level: "error",
      text: `${e.message} [${e.code}]; ${e.reason}; it is served from its file; fix: ${e.fix}`,
    })
  const options = { overlays, host, cacheBytes, ramBytes, onDamage, onNotInRam, onBoot: boots.record }
  const serving = await makeServing(parts, options)
  const site = makeLocalSite({ ...parts, serving }, async () => {})
  closers.push(site.close, boots.close, serving.disks.close)
  await serving.disks.sweep()
  await parts.layers.sweep(await parts.views.state(catalogueProjection))
  const background = () => {
    serving.ram.start()
    void checkUnverified({ ...parts, serving }, serverActor, (level, text) => onEvent({ level, text }))
  }
  return { site, disks: serving.disks, background }
}

const listenForNbd = async (
  { config, onEvent }: ServerOptions,
  disks: DiskService,
  closers: Closers,
): Promise<Readonly<Record<string, string>>> => {
  const { address, nbdPort: port } = config
  if (port === "off") return {}
  const nbd = await listenNbd({ address, port, disks, onEvent: (e) => onEvent(describeNbdEvent(e)) })
  closers.push(nbd.close)
  return { nbd: `${nbd.address}:${nbd.port}` }
}

const listenForIscsi = async (
  { config, onEvent }: ServerOptions,
  { data }: OpenedSite,
  disks: DiskService,
  closers: Closers,
): Promise<Readonly<Record<string, string>>> => {
  const { address, iscsiPort: port, iscsiSecrets } = config
  if (port === "off") return {}
  const iscsi = await listenIscsi({
    address,
    port,
    disks,
    keeper: folderKeeper(data.folder("reservations")),
    ...(iscsiSecrets === undefined ? {} : { secretOf: readSecrets(iscsiSecrets) }),
    onEvent: (e) => onEvent(describeIscsiEvent(e)),
  })
  closers.push(iscsi.close)
  return { iscsi: `${iscsi.address}:${iscsi.port}` }
}

/** A file of secrets is its owner's alone. @throws FILE_UNREADABLE CONFIG_INVALID */
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

const listenForTftp = async (
  { dataDir, config, onEvent }: ServerOptions,
  closers: Closers,
): Promise<Readonly<Record<string, string>>> => {
  const { address, tftpPort: port } = config
  if (port === "off") return {}
  const files = folderFiles(await bootFolder(config.bootFiles, dataDir))
  const tftp = await listenTftp({ address, port, files, onEvent: (e) => onEvent(describeTftpEvent(e)) })
  closers.push(tftp.close)
  return { tftp: `${tftp.address}:${tftp.port}` }
}
