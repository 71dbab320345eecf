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
    const isOpened = whyNot(exam) === undefined
    if (isOpened) await exam.site()
    return [judge(exam, isOpened)]
  },
}

const judge = ({ dataDir }: Exam, isOpened: boolean): Found => {
  const paths = storePaths(dataDir)
  const { name, publicKey } = readSite(paths)
  const files = new TlogFiles(dataDir)
  // Before the head, because a running server goes on.
  const note = files.read("checkpoint")?.toString()
  const head = openHead(paths.head, { write: false })
  head.close()
  const position = head.position()
  if (!isOpened) scanDatabase(paths.database, position, limits.doctorLogBytesMax)
  const about = `${position} events acknowledged`
  if (note === undefined) return pass("head", about)
  const tree = openCheckpoint(note, { name, publicKey })
  const damaged = (why: string) => failed("checkpoint", fail("STORE_DAMAGED", { file: files.path("checkpoint"), why }))
  if ("refused" in tree) return damaged(tree.refused)
  if (tree.size > position) return damaged(`it was signed for ${tree.size} events, and ${position} were acknowledged`)
  return pass("head", `${about}, ${tree.size} signed`)
}
