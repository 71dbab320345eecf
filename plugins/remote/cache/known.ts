/**
 * What an address was when it last answered: its size and validator, so that an image opens from the cache while its server is away.
 *
 *     FOLDER/known/<SHA-256 of the address>.json     { "sizeBytes": 2147483648, "validator": { "kind": "etag", "text": "\"a1\"" } }
 *
 * **Details** Replaced in one step (temporary file, sync, rename). One that cannot be read is not known, and the server is asked.
 */
import { mkdir, open, readFile, rename } from "node:fs/promises"
import { join } from "node:path"
import type { Described } from "../source.ts"

const fileOf = (folder: string, location: string) => join(folder, "known", `${location}.json`)

export const readKnown = async (folder: string, location: string): Promise<Described | undefined> => {
  try {
    const { sizeBytes, validator } = JSON.parse(await readFile(fileOf(folder, location), "utf8"))
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0) return undefined
    if (validator === undefined) return { sizeBytes, validator: undefined }
    const isOne = (validator.kind === "etag" || validator.kind === "modified") && typeof validator.text === "string"
    return isOne ? { sizeBytes, validator: { kind: validator.kind, text: validator.text } } : undefined
  } catch {
    return undefined
  }
}

let written = 0

/** Does nothing where the folder cannot be written: then the image needs its server to open. */
export const writeKnown = async (folder: string, location: string, described: Described): Promise<void> => {
  const path = fileOf(folder, location)
  const temporary = `${path}.${process.pid}.${written++}.new`
  try {
    await mkdir(join(folder, "known"), { recursive: true, mode: 0o700 })
    const file = await open(temporary, "w", 0o600)
    try {
      await file.writeFile(JSON.stringify(described))
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
  } catch {}
}
