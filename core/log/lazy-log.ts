/**
 * The log of a short command: its head is known at once, its database is opened when an event is really read or written.
 *
 * **Details** A projection whose checkpoint is at the head needs no event, so printing the link table opens no LevelDB. Everything else goes
 * to the whole log, which scans the store before it opens it (open-store.ts). Until then the head is what the `head` file says: the
 * last acknowledged event; what a crash left beyond it is found when the database opens.
 *
 * **Gotchas** While the database is closed nobody's lock is taken and damage in db/ is not looked for: what is answered comes from
 * checkpoints, which carry their own checksum.
 */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { fail, type ImagelinkError } from "../errors.ts"
import { storeError } from "./database.ts"
import type { EventLog } from "./event-log.ts"
import { openHead } from "./head.ts"
import type { LevelLogOptions } from "./level-log.ts"
import { fromPromise } from "./promise.ts"
import { readSite, storeExists, storePaths } from "./store-files.ts"

/** @throws DATA_NOT_FOUND STORE_DAMAGED STORE_NEWER DATA_ACCESS_DENIED; opening the database later: what `openLevelLog` throws */
export const openLazyLog = (options: LevelLogOptions): Effect.Effect<EventLog, ImagelinkError, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Scope.Scope
    const { site, head } = yield* fromPromise(async () => readFiles(options))
    let opened: EventLog | undefined
    let opening: Promise<EventLog> | undefined
    const open = async (): Promise<EventLog> => {
      const { openLevelLog } = await import("./level-log.ts")
      opened = await Effect.runPromise(Scope.provide(openLevelLog(options), scope))
      return opened
    }
    const whole = fromPromise(() => (opening ??= open()))
    return {
      site,
      head: () => opened?.head() ?? head.position,
      headCommand: () => opened?.headCommand() ?? head.command,
      refusesWrites: () => opened?.refusesWrites(),
      append: (request) => Effect.flatMap(whole, (log) => log.append(request)),
      findCommand: (id) => Effect.flatMap(whole, (log) => log.findCommand(id)),
      page: (after, max) => Effect.flatMap(whole, (log) => log.page(after, max)),
      pageBytes: (after, max) => Effect.flatMap(whole, (log) => log.pageBytes(after, max)),
      each: (after, last, take) => Effect.flatMap(whole, (log) => log.each(after, last, take)),
      follow: (after) => Stream.unwrap(Effect.map(whole, (log) => log.follow(after))),
    }
  })

const readFiles = ({ dir, host }: LevelLogOptions) => {
  const paths = storePaths(dir)
  try {
    if (!storeExists(dir)) throw fail("DATA_NOT_FOUND", { path: dir })
    const site = readSite(paths)
    const file = openHead(paths.head, { write: false })
    file.close()
    return { site, head: { position: file.position(), command: file.command() } }
  } catch (e) {
    throw storeError(e, paths.store, host)
  }
}
