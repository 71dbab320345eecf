/** The composition root's part for `imagelink doctor`: the site and its server, the client of each protocol, and the checks that are wanted. */
import { join, resolve } from "node:path"
import { fail, type ImagelinkError, isImagelinkError } from "../core/errors.ts"
import { limits } from "../core/limits.ts"
import { lockHolder } from "../core/log/lock-holder.ts"
import { storePaths } from "../core/log/store-files.ts"
import type { ServeConfig } from "../core/runtime/config.ts"
import { makeLocalSite } from "../core/runtime/local-site.ts"
import type { Site } from "../core/runtime/site.ts"
import { makeOpener } from "../core/storage/opener.ts"
import { composeWith, openParts, tokens } from "./compose.ts"
import { checks } from "./doctor/checks.ts"
import { chooseClient } from "./doctor/client/choose.ts"
import { hearDhcp } from "./doctor/client/hear-dhcp.ts"
import { findElsewhere } from "./doctor/client/namespace.ts"
import { fetchScript } from "./doctor/client/script.ts"
import type { Exam, From, Place, RunningServer, Wires } from "./doctor/exam.ts"
import type { Finding } from "./doctor/finding.ts"
import { runChecks } from "./doctor/run.ts"
import { asDoctor } from "./doctor/store.ts"
import { fetchHttp } from "./http/client.ts"
import { IscsiClient } from "./iscsi/client.ts"
import { fetchTftp } from "./tftp/client.ts"

export type { Finding } from "./doctor/finding.ts"

export interface Examination extends Pick<Exam, "config" | "configError" | "said" | "runningError"> {
  readonly dataDir: string
  /** The server, if one runs. */
  readonly server: Site | undefined
  /** The client to ask as. */
  readonly as: string | undefined
  /** A namespace is entered by another process: `command` runs the client's checks there. */
  readonly from: From | { readonly kind: "namespace"; readonly name: string; readonly command: ReadonlyArray<string> }
  /** Names of checks; undefined: all. */
  readonly only: ReadonlyArray<string> | undefined
  readonly onProgress: (done: number, total: number) => void
}

export const checkNames: ReadonlyArray<string> = checks.map(({ name }) => name)

/** @throws CLIENT_NOT_FOUND where the client to ask as is none */
export const examine = async (asked: Examination): Promise<ReadonlyArray<Finding>> => {
  const { from, only, onProgress } = asked
  const wanted = checks.filter(({ name }) => only?.includes(name) ?? true)
  const there = from.kind === "namespace" ? wanted.filter(({ side }) => side === "client") : []
  const here = wanted.filter((check) => !there.includes(check))
  const { exam, close } = await examOf(asked)
  try {
    let done = 0
    const passed = (more: number) => onProgress((done += more), wanted.length)
    const elsewhere =
      from.kind === "namespace" && there.length > 0
        ? findElsewhere(from.name, [...from.command, "--only", there.map(({ name }) => name).join(",")])
        : Promise.resolve([])
    const [own, others] = await Promise.all([
      runChecks(here, exam, { onProgress: () => passed(1) }),
      elsewhere.finally(() => passed(there.length)),
    ])
    return [...own, ...others]
  } finally {
    await close()
  }
}

const examOf = async (asked: Examination): Promise<{ readonly exam: Exam; close(): Promise<void> }> => {
  const { dataDir, config, server, as, from } = asked
  const container = composeWith(dataDir, async () => config.plugins)
  const host = container.resolve(tokens.host)
  let opened: Promise<Site> | undefined
  const site = () => (opened ??= server === undefined ? openStore(dataDir, config) : Promise.resolve(server))
  const { running, runningError } = await lookAtServer(asked)
  const exam: Exam = {
    ...{ dataDir, config, configError: asked.configError, said: asked.said, running, runningError },
    holder: holderOf(dataDir),
    ...{ site, host, wires, now: container.resolve(tokens.clock).now },
    images: makeOpener(container.resolve(tokens.registry), host, resolve(dataDir)),
    from: from.kind === "namespace" ? { kind: "here" } : from,
    client: once(() => chooseClient(exam, as)),
    hearing: once(() => hearDhcp(exam, true)),
    told: once(() => hearDhcp(exam, false)),
    script: once(() => fetchScript(exam)),
  }
  if (as !== undefined && running !== undefined) await exam.client()
  const close = async () => {
    if (server === undefined) await (await opened?.catch(() => undefined))?.close()
  }
  return { exam, close }
}

const once = <A>(make: () => Promise<A>): (() => Promise<A>) => {
  let made: Promise<A> | undefined
  return () => (made ??= make())
}

/** Whole, so that whatever is wrong with the store is known. */
const openStore = async (dataDir: string, { plugins }: ServeConfig): Promise<Site> => {
  const container = composeWith(dataDir, async () => plugins)
  const opened = await openParts({ dataDir, create: false, whole: true, container })
  return makeLocalSite(opened.parts, () => opened.release())
}

const holderOf = (dataDir: string): number | undefined => lockHolder(join(storePaths(dataDir).database, "LOCK"))

const lookAtServer = async ({
  server,
  dataDir,
  runningError,
}: Examination): Promise<{ running: RunningServer | undefined; runningError: ImagelinkError | undefined }> => {
  if (server === undefined) return { running: undefined, runningError }
  try {
    const { server: about, listeners } = await within(limits.doctorToolMillisMax, server.call("status", {}, asDoctor))
    const pid = holderOf(dataDir)
    const at = Object.fromEntries(listeners.map(({ protocol, at }) => [protocol, at]))
    return { running: { pid, version: about.version, listeners: at }, runningError }
  } catch (e) {
    const known = isImagelinkError(e)
      ? e
      : fail("SERVER_NOT_REACHABLE", { path: dataDir, why: (e as Error).message }, { underlying: e })
    return { running: undefined, runningError: known }
  }
}

const within = async <A>(millis: number, work: Promise<A>): Promise<A> => {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`it did not answer within ${millis / 1000} seconds`)), millis)
  return Promise.race([work, promise]).finally(() => clearTimeout(timer))
}

const from = (local: string | undefined) => (local === undefined ? {} : { localAddress: local })

const wires: Wires = {
  async tftp({ address: host, port }, file, local) {
    const asked = { host, port, file, ...from(local), blksize: 1468, windowsize: 4, tsize: true }
    const patience = { patienceMillis: limits.doctorTftpSilenceMillis, retriesMax: limits.doctorTftpRetriesMax }
    return (await fetchTftp({ ...asked, ...patience, bytesMax: limits.doctorTftpBytesMax })).bytes
  },
  http: async (url, local) =>
    (await fetchHttp({ url, ...from(local), millisMax: limits.doctorHttpMillisMax })).toString(),
  discover: (at, local) =>
    withIscsi({ at, local }, async (client) => {
      const pairs = await client.text([["SendTargets", "All"]])
      return pairs.filter(([key]) => key === "TargetName").map(([, name]) => name)
    }),
  firstBlock: (at, target, lun, local) => withIscsi({ at, local, target, lun }, (client) => client.read(0, 512)),
}

interface Login {
  readonly at: Place
  readonly local: string | undefined
  readonly target?: string
  readonly lun?: number
}

const INITIATOR = "iqn.2026-11.io.imagelink.initiator:doctor"

/** Its name and its random ISID are nobody else's, so its login ends no other session (RFC 7143 §6.3.5). */
const withIscsi = async <A>(login: Login, use: (client: IscsiClient) => Promise<A>): Promise<A> => {
  const { at, local, target, lun = 0 } = login
  const to = { host: at.address, port: at.port, ...from(local), initiator: INITIATOR, lun, steps: 2 as const }
  const client = new IscsiClient(target === undefined ? to : { ...to, target })
  try {
    await within(limits.doctorIscsiMillisMax, client.begin())
    const answer = await within(limits.doctorIscsiMillisMax, use(client)).catch((e: unknown) => {
      throw Object.assign(new Error((e as Error).message, { cause: e }), { loggedIn: true })
    })
    await within(limits.doctorIscsiMillisMax, client.logout()).catch(() => {})
    return answer
  } finally {
    client.destroy()
  }
}
