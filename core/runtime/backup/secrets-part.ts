/**
 * What of a site is secret and goes into a backup only where it is asked for: the key that signs its log, and the API tokens, which are kept hashed.
 *
 * **Details** A restored log has a key of its own, so the old one is put back by nobody. The tokens are: who could ask the site that was backed up may ask
 * the restored one. Secrets for CHAP are in a file of the operator's, and the sites' own for boot ids is made anew: neither is in any backup.
 */
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fail } from "../../errors.ts"
import { storePaths } from "../../log/store-files.ts"
import { TOKENS } from "../tokens.ts"
import { writeWhole } from "./copy-file.ts"
import { type BackupFile, type Manifest, sha256 } from "./manifest.ts"

const KEY = "secrets/site.key"
const TOKENS_PART = `secrets/${TOKENS}`

/** Copies them; answers what is in the backup then. A site without a token has no file of them. */
export const copySecrets = async (dir: string, dataDir: string): Promise<ReadonlyArray<BackupFile>> => {
  const tokens = join(dataDir, TOKENS)
  const files = [await copied(dir, storePaths(dataDir).key, KEY)]
  return existsSync(tokens) ? [...files, await copied(dir, tokens, TOKENS_PART)] : files
}

const copied = async (dir: string, from: string, path: string): Promise<BackupFile> => {
  const bytes = readFileSync(from)
  await writeWhole(join(dir, path), bytes)
  return { path, sizeBytes: bytes.length, sha256: sha256(bytes) }
}

/** Puts the tokens into a data folder; answers how many, for the operator to know. @throws BACKUP_DAMAGED */
export const restoreTokens = async (dir: string, { files }: Manifest, dataDir: string): Promise<number> => {
  const file = files.find(({ path }) => path === TOKENS_PART)
  if (file === undefined) return 0
  const bytes = readFileSync(join(dir, TOKENS_PART))
  if (sha256(bytes) !== file.sha256) throw fail("BACKUP_DAMAGED", { dir, why: `${TOKENS_PART} changed meanwhile` })
  await writeWhole(join(dataDir, TOKENS), bytes)
  const { tokens } = JSON.parse(bytes.toString()) as { readonly tokens: ReadonlyArray<unknown> }
  return tokens.length
}
