/** Audit, backup and restore. */
import { entry } from "./entry.ts"

export const proofErrors = {
  // --- Audit ---
  LOG_FORKED: entry<{ head: number; why: string }>({
    exit: 3,
    message: (p) => `the log of ${p.head} events is not the one that was published; nothing was signed`,
    cause: (p) => p.why,
    fix: () =>
      "keep a copy of the data folder as it is; 'imagelink repair --dry-run' says whether what was published can be put back; else restore the store from a backup that has it",
  }),
  AUDIT_FAILED: entry<{ position?: number; why: string; tiles?: boolean }>({
    exit: 3,
    message: (p) =>
      p.position === undefined ? "the log does not hold" : `the log does not hold at position ${p.position}`,
    cause: (p) => p.why,
    fix: (p) =>
      p.tiles
        ? "the events are whole: 'imagelink repair' makes the published files again from them, when no server runs"
        : "keep a copy of the data folder as it is; 'imagelink repair --dry-run' says whether the entry bundles still have what was signed; else compare with a backup and with the checkpoints and proofs that others kept",
  }),
  NOTE_REFUSED: entry<{ file: string; why: string }>({
    exit: 1,
    message: (p) => `${p.file} is not a checkpoint of this log`,
    cause: (p) => p.why,
    fix: () =>
      "give a note that 'imagelink audit checkpoint' of this site printed; 'imagelink audit key' shows its key",
  }),
  ARCHIVE_REFUSED: entry<{ file: string; why: string }>({
    exit: 1,
    message: (p) => `${p.file} is not an archive of a log`,
    cause: (p) => p.why,
    fix: () => "give a file that 'imagelink audit export' wrote, unpacked if it was packed since",
  }),
  ARCHIVE_DAMAGED: entry<{ file: string; what: string; why: string }>({
    exit: 3,
    message: (p) => `${p.file}: ${p.what}`,
    cause: (p) => p.why,
    fix: () =>
      "get the archive again from where it was exported; where that is the same, compare it with checkpoints and proofs that others kept",
  }),
  FILE_EXISTS: entry<{ path: string }>({
    exit: 1,
    message: (p) => `there is already a file ${p.path}`,
    cause: () => "nothing is overwritten unless that is asked for",
    fix: () => "choose another name, or say --force to replace it",
  }),

  // --- Backup ---
  BACKUP_REFUSED: entry<{ dir: string; why: string }>({
    exit: 1,
    message: (p) => `${p.dir} cannot take this backup`,
    cause: (p) => p.why,
    fix: () => "name an empty folder, or the folder of this site's last backup; nothing in it was changed",
  }),
  BACKUP_INCOMPLETE: entry<{ dir: string; missing: number }>({
    exit: 1,
    message: (p) => `the backup in ${p.dir} lacks ${p.missing === 1 ? "a file" : `${p.missing} files`}`,
    cause: () => "what is listed above is missing or is not what was recorded; everything else was copied",
    fix: () => "mend what is named ('imagelink image check', 'imagelink image relocate'), then make the backup again",
  }),
  TARGET_NOT_EMPTY: entry<{ path: string }>({
    exit: 1,
    message: (p) => `${p.path} is not empty`,
    cause: () => "a backup is restored into a data folder of its own; what is there would go",
    fix: (p) => `name another folder with --data DIR; or say --force, which moves ${p.path} aside and keeps it`,
  }),
  RESTORE_REFUSED: entry<{ path: string; why: string }>({
    exit: 1,
    message: (p) => `nothing can be restored into ${p.path}`,
    cause: (p) => p.why,
    fix: () => "name another folder with --data DIR, or another name with --site NAME; nothing was changed",
  }),
  BACKUP_DAMAGED: entry<{ dir: string; why: string }>({
    exit: 3,
    message: (p) => `the backup in ${p.dir} is not whole`,
    cause: (p) => p.why,
    fix: () =>
      "use another backup; where the site still runs, making the backup again in an empty folder gives a whole one",
  }),
} as const
