/** The operation that makes a backup. */
import { makeBackup, planBackup } from "../backup/make-backup.ts"
import type { Parts } from "../parts.ts"
import type { Operations } from "../site.ts"

export const backupOperations = (parts: Parts): Operations<"backup"> => ({
  backup: (input, options) => {
    const asked = { dir: input.dir, images: input.images === true, secrets: input.secrets === true }
    if (options.dryRun) return planBackup(parts, asked)
    return parts.jobs.run(`backup to ${input.dir}`, (job) => makeBackup(parts, asked, job), options)
  },
})
