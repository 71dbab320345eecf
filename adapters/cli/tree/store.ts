/** The verbs about the store itself: jobs, rebuild, repair, explain, audit, backup, restore. */
import type { Command } from "commander"
import { verb } from "./declare.ts"

const views = () => import("../verbs/views.ts")
const audits = () => import("../verbs/audit.ts")
const backups = () => import("../verbs/backup.ts")
const repairs = () => import("../verbs/repair.ts")

const gathered = (text: string, before: ReadonlyArray<string> = []) => [...before, text]
const tokens = () => import("../verbs/tokens.ts")

export const declareStore = (root: Command): void => {
  const token = root.command("token").description("who may ask over the network, and as what")
  verb(token, "create <name>", "make a token; it is shown this once", "runs", tokens, "createToken")
    .requiredOption("--role <role>", "viewer reads; auditor reads the log too; operator changes; admin does everything")
    .option("--group <name>", "may change this group's clients only; may be given several times", gathered)
    .option("--days <n>", "holds so long (default: until it is revoked)")
  verb(token, "list", "tokens, their roles and when they end", "runs", tokens, "listTokens")
  verb(token, "revoke <name>", "take a token back, at once", "runs", tokens, "revokeToken")

  verb(root, "jobs", "long work of the running server: checks, with their progress", "runs", views, "jobs").option(
    "--cancel <id>",
    "stop one",
  )
  verb(
    root,
    "rebuild",
    "fold every projection again from the log and replace its checkpoints",
    "reads",
    views,
    "rebuild",
  ).option("--check", "compare with the running ones, change nothing")

  verb(root, "repair", "mend the data folder from what is left of it; no server may run", "runs", repairs, "repair")
    .option("--dry-run", "say what is damaged and what would be done, and change nothing")
    .option("--accept-loss", "go on without acknowledged events that are nowhere, if they were never published")

  verb(
    root,
    "explain [code]",
    "an error's cause and fix, step by step; without a code, all of them",
    "reads",
    () => import("../verbs/explain.ts"),
    "explain",
  )

  const audit = root.command("audit").description("signed checkpoints and proofs that the log was not edited")
  verb(audit, "key", "the key that verifies this log's checkpoints", "runs", audits, "key")
  verb(audit, "checkpoint", "publish what is recorded and print the signed note", "runs", audits, "checkpoint")
  verb(audit, "verify", "recompute everything from the events, of this log or of an archive", "runs", audits, "verify")
    .option("--archive <file>", "verify what 'audit export' wrote; needs no data folder")
    .option("--key <line>", "the key that must have signed the archive, as 'audit key' prints it")
    .option("--checkpoint <note>", "a checkpoint that was kept: the archive must extend it")
  verb(
    audit,
    "prove <position>",
    "print a proof, checked offline, that an event is in the log",
    "runs",
    audits,
    "prove",
  ).option("--out <file>", "write it there")
  verb(audit, "consistency <note>", "prove that the log extends an older checkpoint", "runs", audits, "consistency")
  verb(
    audit,
    "export <file>",
    "write events, tiles and checkpoint as one tar file",
    "runs",
    audits,
    "exportLog",
  ).option("--force", "replace a file that is there")

  verb(
    root,
    "backup <dir>",
    "copy the log, and with --images the image files, as they are now; again: only what changed",
    "runs",
    backups,
    "backup",
  )
    .option("--images", "the image files and layers of all versions too")
    .option("--secrets", "the key that signs the log and the API tokens too; keep that backup as you keep the key")
    .option("--dry-run", "say what would be copied, and copy nothing")

  verb(
    root,
    "restore [dir]",
    "make the data folder anew from a backup, as a log of its own; or bring clients and links back to a moment",
    "runs",
    backups,
    "restore",
  )
    .option("--force", "move a data folder that is there aside, and keep it")
    .option("--site <name>", "the restored log's name (default: the old one with an ending of its own)")
    .option("--images-to <dir>", "put the image files there, and have them read from there")
    .option("--until <time>", "no backup: clients and their links as they were then, by new events")
    .option("--position <n>", "no backup: as they were after this event")
    .option("--discard-kept", "throw away what kept overlays hold")
    .option("--dry-run", "verify the backup and the data folder, or print the events; change nothing")
    .option("--command-id <uuid>", "retry key, with --until or --position: the same id appends once")
}
