/**
 * Where a PC stands now, for people who look: its state, since when, what it went through, and what is wrong.
 *
 * | state                     | is                                                                          |
 * | ------------------------- | --------------------------------------------------------------------------- |
 * | `dhcp`                    | it was offered an address, or waits for one                                 |
 * | `tftp`, `http`            | it fetches its boot program, or has it                                      |
 * | `menu`, `script`, `local` | it was told what to do: choose, open its disk, boot from its own            |
 * | `login`                   | it has its disk, and has not read from it                                   |
 * | `running`                 | it uses its disk                                                            |
 * | `off`                     | nothing is heard of it                                                      |
 *
 * **Details** A PC that was reset shows up before its old session has ended, so signs of a new boot go before a session; a script alone does not, because a
 * running system can fetch it too.
 */
import { limits } from "../limits.ts"
import { type Attempt, has, isOver, type OnTheWay, stagesOf, stoppedText } from "./boot-attempt.ts"
import type { Boot } from "./boot-recorder.ts"

/** What is known of the computer with one MAC. */
export interface Followed {
  readonly mac: string
  attempt: Attempt | undefined
  /** What led to boot ids that may still be shown; the newest last. */
  scripts: ReadonlyArray<Attempt>
  /** Open sessions at slot 0. */
  sessions: number
  disk: DiskInUse | undefined
  /** When its last session ended. */
  left: number | undefined
  problem: { readonly at: number; readonly text: string } | undefined
}

/** The last boot that began, or the session that was opened without one. */
export interface DiskInUse {
  since: number
  readonly address: string
  boot: Attempt | undefined
  isRead: boolean
}

export interface LiveBoot {
  readonly mac: string
  /** Null for one that nobody registered. */
  readonly client: string | null
  readonly address: string | null
  readonly firmware: string | null
  readonly state: OnTheWay | "login" | "running" | "off"
  /** UTC milliseconds. */
  readonly since: number
  /** Of this boot, or of the one that runs. */
  readonly stages: Boot["stages"]
  /** Where it stopped, when it has not moved for too long. */
  readonly stuck: string | null
  /** The last thing that went wrong with this boot. */
  readonly error: { readonly at: number; readonly text: string } | null
}

/** Those of a running server. */
export interface LiveBoots {
  list(): ReadonlyArray<LiveBoot>
  /** Waits until the time has passed or the signal has ended. */
  readonly sleep: (millis: number, signal: AbortSignal) => Promise<void>
}

const isLate = (since: number, now: number): boolean => now - since >= limits.bootStuckSeconds * 1000

const stuckIn = (attempt: Attempt, now: number): string | null => {
  const waits = attempt.state === "menu" || attempt.state === "local"
  return !waits && isLate(lastStep(attempt), now) ? stoppedText(attempt) : null
}

/** Asking for the same again is no step. */
const lastStep = ({ marks, since, state }: Attempt): number =>
  state === "script" ? since : Math.max(since, marks.at(-1)?.at ?? 0)

/** Whether signs of a boot count for more than a session that is open. */
const goesFirst = (attempt: Attempt, sessions: number, now: number): boolean =>
  sessions === 0
    ? now - attempt.at <= limits.bootForgottenSeconds * 1000
    : has(attempt, "offer") && !isOver(attempt, now)

/** Undefined: there is nothing to tell of it. */
export const liveBoot = (followed: Followed, client: string | undefined, now: number): LiveBoot | undefined => {
  const { mac, attempt, sessions, disk, left, problem } = followed
  const row = (state: LiveBoot["state"], since: number, of: Attempt | undefined, stuck: string | null): LiveBoot => ({
    mac,
    client: client ?? null,
    address: of?.address ?? disk?.address ?? null,
    firmware: of?.firmware ?? null,
    state,
    since,
    stages: of === undefined ? [] : stagesOf(of.began, of.marks),
    stuck,
    error: problem ?? null,
  })
  if (attempt !== undefined && goesFirst(attempt, sessions, now))
    return row(attempt.state, attempt.since, attempt, stuckIn(attempt, now))
  if (sessions > 0 && disk !== undefined && !disk.isRead)
    return row("login", disk.since, disk.boot, isLate(disk.since, now) ? "it has its disk, and reads nothing" : null)
  if (sessions > 0 && disk !== undefined) return row("running", disk.since, disk.boot, null)
  return left === undefined ? undefined : row("off", left, undefined, null)
}
