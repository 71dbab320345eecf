/**
 * What long work was asked for and is not done: kept on disk while it runs, so that a server that ends in the middle of it goes on at its next start.
 *
 *     jobs/<command id>.json   one JSON object each: operation, input, who asked and when, SHA-256 of all that
 *
 * **Details** It is there before the work begins, and goes when the work has ended, well or not, or was cancelled. Work that a start goes on with is the same command
 * again, by the same id: what it had recorded by then is not recorded twice. A file that is damaged is left out, and told.
 */
import { createHash } from "node:crypto"
import type { Actor } from "../log/event-log.ts"
import type { VolumeFolder } from "../storage/volume.ts"
import type { Input, OperationName } from "./site.ts"

/** Those that read or write whole images, and that a person waits for. What fills RAM, and first checks, each start of a server begins by itself. */
export const resumable = ["image.check", "image.commit", "image.flatten", "image.relocate", "backup"] as const
export type Resumable = (typeof resumable)[number]

export interface JournalEntry<N extends Resumable = Resumable> {
  /** The command's id, which is the job's as well. */
  readonly id: string
  readonly operation: N
  readonly input: Input<N>
  readonly actor: Actor
  /** UTC milliseconds. */
  readonly at: number
  readonly expectedPosition?: number
}

export interface JobJournal {
  begin(entry: JournalEntry): Promise<void>
  end(id: string): Promise<void>
  /** What was begun and did not end, the oldest first. */
  left(onDamaged: (file: string) => void): Promise<ReadonlyArray<JournalEntry>>
}

const folderName = "jobs"
const suffix = ".json"

export const isResumable = (name: OperationName): name is Resumable =>
  (resumable as ReadonlyArray<string>).includes(name)

export const makeJobJournal = (data: VolumeFolder): JobJournal => {
  const folder = data.folder(folderName)
  return {
    begin: (entry) => folder.replaceFile(`${entry.id}${suffix}`, encode(entry)),
    end: (id) => folder.remove(`${id}${suffix}`),
    async left(onDamaged) {
      const entries: Array<JournalEntry> = []
      for (const file of await folder.list()) {
        if (!file.endsWith(suffix)) continue
        const entry = decode((await folder.readFile(file)) ?? new Uint8Array())
        if (entry !== undefined && `${entry.id}${suffix}` === file) {
          entries.push(entry)
          continue
        }
        onDamaged(`${folder.path}/${file}`)
        await folder.remove(file)
      }
      return entries.toSorted((a, b) => a.at - b.at)
    },
  }
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex")

const encode = (entry: JournalEntry): Uint8Array =>
  Buffer.from(JSON.stringify({ sha256: sha256(JSON.stringify(entry)), entry }))

const decode = (bytes: Uint8Array): JournalEntry | undefined => {
  try {
    const { sha256: recorded, entry } = JSON.parse(Buffer.from(bytes).toString()) as Decoded
    return sha256(JSON.stringify(entry)) === recorded && isResumable(entry.operation) ? entry : undefined
  } catch {
    return undefined
  }
}

interface Decoded {
  readonly sha256: string
  readonly entry: JournalEntry
}
