/**
 * A C2SP tlog-proof: everything that shows offline that an entry is in the log, in one text file.
 *
 *     c2sp.org/tlog-proof@v1
 *     extra <base64>            here: the entry itself, the canonical bytes of the event
 *     index <n>                 position − 1
 *     <base64> …                the inclusion proof, from the leaf's sibling up (RFC 6962 §2.1.1)
 *     (blank line)
 *     the checkpoint
 *
 * **Details** `extra` is not authenticated by the format; hashed as the leaf, the entry in it is.
 */
import { type Hash, hashBytes, leafHash } from "../merkle/hash.ts"
import { verifyInclusion } from "../merkle/verify.ts"
import { openCheckpoint } from "./checkpoint.ts"
import type { NoteKey, NoteRefused } from "./note.ts"

const firstLine = "c2sp.org/tlog-proof@v1"

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64")

export const encodeProof = (entry: Uint8Array, index: number, path: ReadonlyArray<Hash>, checkpoint: string): string =>
  `${[firstLine, `extra ${base64(entry)}`, `index ${index}`, ...path.map(base64)].join("\n")}\n\n${checkpoint}`

export interface Proved {
  readonly index: number
  readonly entry: Uint8Array
  /** Size of the tree that the checkpoint signed. */
  readonly size: number
}

/** Checks a proof file that carries its entry, with nothing but the log's key. */
export const openProof = (text: string, key: NoteKey): Proved | NoteRefused => {
  const blank = text.indexOf("\n\n")
  const [first, extraLine = "", indexLine = "", ...lines] = text.slice(0, Math.max(blank, 0)).split("\n")
  const extra = /^extra ([A-Za-z0-9+/]*=*)$/.exec(extraLine)?.[1]
  const digits = /^index (0|[1-9]\d*)$/.exec(indexLine)?.[1]
  if (first !== firstLine || extra === undefined || digits === undefined) return { refused: "it is not a proof" }
  const path = lines.map((line) => Buffer.from(line, "base64"))
  if (path.some((hash, i) => hash.length !== hashBytes || base64(hash) !== lines[i])) {
    return { refused: "its inclusion proof is garbled" }
  }
  const head = openCheckpoint(text.slice(blank + 2), key)
  if ("refused" in head) return head
  const entry = Buffer.from(extra, "base64")
  const index = Number(digits)
  if (base64(entry) !== extra || !verifyInclusion(leafHash(entry), index, head.size, path, head.root)) {
    return { refused: "the entry is not in the tree of the checkpoint" }
  }
  return { index, entry, size: head.size }
}
