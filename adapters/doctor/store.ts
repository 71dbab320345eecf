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
import { userNameOf } from "./system/users.ts"

/** Nothing is changed in anybody's name. */
export const asDoctor: { readonly actor: Actor } = { actor: { kind: "cli", name: "doctor" } }

/** Why the site cannot be asked; undefined: it can. */
export const whyNot = ({ dataDir, running }: Exam): string | undefined => {
  if (running !== undefined) return undefined
  if (!storeExists(dataDir)) return "there is no store yet"
  const owner = statSync(dataDir).uid
  if (process.getuid === undefined || process.getuid() === owner) return undefined
  return `the store is ${userNameOf(owner)}'s: run doctor as that user, or while the server runs`
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
