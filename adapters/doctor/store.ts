/**
 * Asks the site, where it can be asked without harm.
 *
 * **Details** Opening a store leaves files of whoever opens it. So root does not open the store of a service's user, but says who can; a running server answers anybody that
 * its socket lets in. What is wrong with a store is told once, by the check `log`.
 */
import { statSync } from "node:fs"
import { isImagelinkError } from "../../core/errors.ts"
import type { Actor } from "../../core/log/event-log.ts"
import { storeExists } from "../../core/log/store-files.ts"
import type { Site } from "../../core/runtime/site.ts"
import type { Exam } from "./exam.ts"
import { type Found, skip } from "./finding.ts"
import { type User, userNameOf, userOf } from "./system/users.ts"

/** Nothing is changed in anybody's name. */
export const asDoctor: { readonly actor: Actor } = { actor: { kind: "cli", name: "doctor" } }

/** Why the site cannot be asked; undefined: it can. */
export const whyNot = ({ dataDir, running, runningError, holder }: Exam): string | undefined => {
  if (running !== undefined) return undefined
  if (runningError !== undefined) return "the server cannot be asked"
  if (holder !== undefined && holder !== process.pid) return `process ${holder} has the store open`
  if (!storeExists(dataDir)) return "there is no store yet"
  const owner = statSync(dataDir).uid
  if (process.getuid === undefined || process.getuid() === owner) return undefined
  return `the store is ${userNameOf(owner)}'s: run doctor as that user, or while the server runs`
}

/** Whom the data folder belongs to: who runs the server, or would. Undefined: there is no folder yet. */
export const ownerOf = ({ dataDir }: Exam): User | undefined => {
  const stats = statSync(dataDir, { throwIfNoEntry: false })
  return stats === undefined ? undefined : userOf(stats.uid)
}

/** A user who may ask the running server, and is neither its own nor root: what is not for that user says nothing of the server. */
export const isGuest = (exam: Exam): boolean => {
  const uid = process.getuid?.()
  return exam.running !== undefined && uid !== undefined && uid !== 0 && uid !== ownerOf(exam)?.uid
}

export const askSite = async (
  exam: Exam,
  subject: string,
  use: (site: Site) => Promise<ReadonlyArray<Found>>,
): Promise<ReadonlyArray<Found>> => {
  const why = whyNot(exam)
  if (why !== undefined) return [skip(subject, why)]
  let site: Site
  try {
    site = await exam.site()
  } catch (e) {
    if (isImagelinkError(e)) return [skip(subject, "the store cannot be opened: see log")]
    throw e
  }
  return use(site)
}
