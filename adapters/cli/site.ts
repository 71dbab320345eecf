/** Finds the site a command talks to: the server that runs on the data folder, else the store itself. */
import { existsSync } from "node:fs"
import { userInfo } from "node:os"
import { resolve } from "node:path"
import { fail } from "../../core/errors.ts"
import type { Actor } from "../../core/log/event-log.ts"
import type { CallOptions, Site } from "../../core/runtime/site.ts"
import { socketPath } from "../api/socket-path.ts"
import { pluginsOf } from "./config-file.ts"
import type { CommonOptions } from "./options.ts"

export const dataDir = (options: CommonOptions): string =>
  resolve(options.data ?? process.env.IMAGELINK_DATA ?? "imagelink-data")

const userName = (): string => {
  try {
    return userInfo().username
  } catch {
    return `uid ${process.getuid?.() ?? "?"}`
  }
}

export const actor = (): Actor => ({ kind: "cli", name: userName() })

/** The server on a data folder, if one runs. The HTTP client is loaded only where there is a socket to talk to. */
export const runningSite = async (dir: string): Promise<Site | undefined> => {
  const path = existsSync(dir) ? socketPath(dir) : undefined
  if (path === undefined || !existsSync(path)) return undefined
  const { connectSite } = await import("../api/client.ts")
  try {
    return await connectSite(path)
  } catch (e) {
    if ((e as { cause?: NodeJS.ErrnoException }).cause?.code !== "EACCES") throw e
    throw fail("DATA_ACCESS_DENIED", { path: dir, user: userName() }, { underlying: e })
  }
}

/** The server that was named, if one was. @throws USAGE FILE_UNREADABLE TOKEN_REFUSED */
const siteElsewhere = async ({ server, tokenFile }: CommonOptions): Promise<Site | undefined> => {
  const at = server ?? process.env.IMAGELINK_SERVER
  if (at === undefined) return undefined
  const [{ siteOf }, { serverAt }] = await Promise.all([import("../api/client.ts"), import("../api/server-at.ts")])
  return siteOf(serverAt(at, tokenFile, process.env))
}

/** Runs `use` with the site. `create`: make the data folder if there is none (the first command that adds something). */
export const withSite = async <A>(
  options: CommonOptions,
  create: boolean,
  use: (site: Site) => Promise<A>,
): Promise<A> => {
  const dir = dataDir(options)
  const site =
    (await siteElsewhere(options)) ??
    (await runningSite(dir)) ??
    (await (await import("../compose.ts")).openSite({ dataDir: dir, create, plugins: () => pluginsOf(dir) }))
  try {
    return await use(site)
  } finally {
    await site.close()
  }
}

/** Runs `use` with the server that runs, for what a store alone cannot tell. @throws SERVER_NOT_REACHABLE where none does */
export const withServer = async <A>(options: CommonOptions, use: (site: Site) => Promise<A>): Promise<A> => {
  const dir = dataDir(options)
  const site = (await siteElsewhere(options)) ?? (await runningSite(dir))
  if (site === undefined) throw fail("SERVER_NOT_REACHABLE", { path: dir, why: "no server runs on that data folder" })
  try {
    return await use(site)
  } finally {
    await site.close()
  }
}

export const callOptions = (options: CommonOptions): CallOptions<never> => ({
  actor: actor(),
  ...(options.dryRun ? { dryRun: true } : {}),
  ...(options.commandId ? { commandId: options.commandId } : {}),
})

/** Ctrl-C cancels the operation once; a second one ends the process. */
export const interruptible = (): AbortSignal => {
  const abort = new AbortController()
  process.once("SIGINT", () => abort.abort())
  return abort.signal
}
