/**
 * Two PCs with one MAC: a new boot is refused while the PC of the boot before it shows that it runs.
 *
 *     login with a new boot id ─► every session of the current boot is asked for a sign of life ─┬─► one gives it: CLIENT_TWICE
 *                                                                                                └─► none does in time: the boot begins
 *
 * **Details** A PC that was switched off or reset gives no sign, so its next boot waits for it once, and only where its old session is still open. Sessions that the
 * running PC opens meanwhile are asked as well: two PCs with one address break each other's connections, and the first one comes back.
 *
 * The second PC's next boot script says why it was refused, as long as that holds.
 */
import type { SignOfLife } from "../block/lease.ts"
import { fail, type ImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"
import type { BootClient } from "./boots.ts"
import { RecentMap } from "./recent-map.ts"

export interface Twin {
  readonly client: string
  /** Name of the boot that runs. */
  readonly boot: string
  /** Where its PC is. */
  readonly address: string
  /** Where the PC is that was refused. */
  readonly second: string
}

export interface Twins {
  /** A session of the client's current boot, which can be asked. The answer takes it back. */
  joined(client: BootClient, boot: string, address: string, ask: SignOfLife): () => void
  /** For a PC that shows a newer boot id than `boot`, the current one. @throws CLIENT_TWICE */
  refuseSecond(client: BootClient, boot: string, second: string): Promise<void>
  /** What a boot script has to say, because a PC was refused a moment ago and still would be. */
  refused(client: BootClient): Promise<ImagelinkError | undefined>
}

export interface TwinsOptions {
  /** UTC milliseconds. */
  readonly now: () => number
  readonly later: (run: () => void, millis: number) => () => void
  /** A second PC was refused, for the first time beside this boot. */
  readonly onTwin: (twin: Twin) => void
}

interface Session {
  readonly boot: string
  readonly address: string
  readonly ask: SignOfLife
}

interface Sessions {
  readonly open: Set<Session>
  /** Told of sessions that are opened from now on. */
  readonly asking: Set<(session: Session) => void>
}

export const makeTwins = ({ now, later, onTwin }: TwinsOptions): Twins => {
  const clients = new Map<string, Sessions>()
  /** By client, the boot that somebody was refused for, and when last. */
  const refusals = new RecentMap<{ readonly boot: string; readonly at: number; readonly error: ImagelinkError }>(
    limits.bootsFollowedMax,
  )
  const reported = new RecentMap<true>(limits.retiredBootsReportedMax)

  const sessionsOf = (clientId: string): Sessions => {
    const sessions = clients.get(clientId) ?? { open: new Set(), asking: new Set() }
    clients.set(clientId, sessions)
    return sessions
  }
  const forget = (clientId: string): void => {
    const sessions = clients.get(clientId)
    if (sessions?.open.size === 0 && sessions.asking.size === 0) clients.delete(clientId)
  }

  /** The first session of the boot that gives a sign of life, if one does in time. */
  const alive = async (clientId: string, boot: string): Promise<Session | undefined> => {
    const sessions = clients.get(clientId)
    if (sessions === undefined || ![...sessions.open].some((session) => session.boot === boot)) return undefined
    const over = new AbortController()
    const { promise, resolve } = Promise.withResolvers<Session | undefined>()
    const askOne = (session: Session): void => {
      if (session.boot !== boot) return
      void session.ask(over.signal).then((lives) => lives && resolve(session))
    }
    const callOff = later(() => resolve(undefined), limits.bootTwinMillisMax)
    sessions.asking.add(askOne)
    for (const session of sessions.open) askOne(session)
    const found = await promise
    callOff()
    over.abort()
    sessions.asking.delete(askOne)
    forget(clientId)
    return found
  }

  return {
    joined({ id }, boot, address, ask) {
      const session = { boot, address, ask }
      const { open, asking } = sessionsOf(id)
      open.add(session)
      for (const told of [...asking]) told(session)
      return () => {
        open.delete(session)
        forget(id)
      }
    },
    async refuseSecond({ id, name }, boot, second) {
      const first = await alive(id, boot)
      if (first === undefined) return
      const error = fail("CLIENT_TWICE", { client: name, address: first.address, second })
      refusals.set(id, { boot, at: now(), error })
      if (reported.get(boot) === undefined) onTwin({ client: name, boot, address: first.address, second })
      reported.set(boot, true)
      throw error
    },
    async refused({ id }) {
      const last = refusals.get(id)
      if (last === undefined) return undefined
      const isRecent = now() - last.at <= limits.bootSilenceSecondsMax * 1000
      if (isRecent && (await alive(id, last.boot)) !== undefined) {
        refusals.set(id, { ...last, at: now() })
        return last.error
      }
      refusals.delete(id)
      return undefined
    },
  }
}
