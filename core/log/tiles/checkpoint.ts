/**
 * Checkpoints (C2SP tlog-checkpoint): a signed note that says how large the tree is and what its root is.
 *
 *     lab.example                                      origin: the site's name
 *     20852163                                         tree size
 *     CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=     root hash
 */
import type { KeyObject } from "node:crypto"
import { hashBytes } from "../merkle/hash.ts"
import type { TreeHead } from "../merkle/verify.ts"
import { type NoteKey, type NoteRefused, openNote, signNote } from "./note.ts"

export const signCheckpoint = (head: TreeHead, key: NoteKey, privateKey: KeyObject): string =>
  signNote(`${key.name}\n${head.size}\n${Buffer.from(head.root).toString("base64")}\n`, key, privateKey)

/** What a checkpoint of this origin and key says; extension lines are passed over, as the specification demands. */
export const openCheckpoint = (note: string, key: NoteKey): TreeHead | NoteRefused => {
  const origin = note.slice(0, note.indexOf("\n"))
  if (origin !== key.name) return { refused: `its origin is ${JSON.stringify(origin.slice(0, 100))}, not ${key.name}` }
  const opened = openNote(note, key)
  if ("refused" in opened) return opened
  const [, sizeLine = "", rootLine = "", ...more] = opened.text.slice(0, -1).split("\n")
  const root = Buffer.from(rootLine, "base64")
  const size = Number(sizeLine)
  if (!/^(0|[1-9]\d*)$/.test(sizeLine) || !Number.isSafeInteger(size)) return { refused: "it has no tree size" }
  if (root.length !== hashBytes || root.toString("base64") !== rootLine) return { refused: "it has no root hash" }
  return more.includes("") ? { refused: "it has an empty extension line" } : { size, root }
}
