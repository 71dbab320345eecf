/**
 * The head of the log: what was acknowledged is there, and what was signed is not more than that.
 *
 * **Details** Quick: the store opens, as it does for any command, or where another user owns it, its files are looked at without being opened; `head`; and the published
 * checkpoint with its signature. Reading all events is `imagelink audit verify`.
 */
import { fail } from "../../../core/errors.ts"
import { limits } from "../../../core/limits.ts"
import { openHead } from "../../../core/log/head.ts"
import { scanDatabase } from "../../../core/log/leveldb/scan.ts"
import { readSite, storeExists, storePaths } from "../../../core/log/store-files.ts"
import { openCheckpoint } from "../../../core/log/tiles/checkpoint.ts"
import { TlogFiles } from "../../../core/log/tiles/files.ts"
import type { Check } from "../check.ts"
import type { Exam } from "../exam.ts"
import { type Found, failed, pass, skip } from "../finding.ts"
import { whyNot } from "../store.ts"

export const log: Check = {
  name: "log",
  side: "server",
  async run(exam) {
    if (!storeExists(exam.dataDir)) return [skip("log", "there is no store yet")]
    const why = whyNot(exam)
    if (why === undefined) await exam.site()
    try {
      return [judge(exam, why !== undefined && exam.holder === undefined)]
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code === "EACCES") return [skip("log", why ?? (e as Error).message)]
      throw e
    }
  },
}

/** `unused`: nobody writes to the database now, so that its files can be looked at. */
const judge = ({ dataDir }: Exam, unused: boolean): Found => {
  const paths = storePaths(dataDir)
  const { name, publicKey } = readSite(paths)
  const files = new TlogFiles(dataDir)
  // Before the head, because a running server goes on.
  const note = files.read("checkpoint")?.toString()
  const head = openHead(paths.head, { write: false })
  head.close()
  const position = head.position()
  if (unused) scanDatabase(paths.database, position, limits.doctorLogBytesMax)
  const about = `${position} events acknowledged`
  if (note === undefined) return pass("head", about)
  const tree = openCheckpoint(note, { name, publicKey })
  const damaged = (why: string) => failed("checkpoint", fail("STORE_DAMAGED", { file: files.path("checkpoint"), why }))
  if ("refused" in tree) return damaged(tree.refused)
  if (tree.size > position) return damaged(`it was signed for ${tree.size} events, and ${position} were acknowledged`)
  return pass("head", `${about}, ${tree.size} signed`)
}
