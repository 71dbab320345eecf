/**
 * The index of commands: what a command id appended, so that repeating it answers instead of appending again.
 *
 * The value is sealed like an event's (envelope.ts) and names its command, because a lost or swapped entry would let a retry append twice.
 */
import { fail } from "../errors.ts"
import { canonicalJson } from "./canonical.ts"
import { parse, seal, unseal } from "./envelope.ts"

export interface CommandEntry {
  readonly command: string
  /** Empty where the index was made again from the events, which do not have it. */
  readonly fingerprint: string
  /** Position of its first event, and how many there are; at least one. */
  readonly first: number
  readonly count: number
}

/** Whether a command was the one that is asked for again under its id. Where it is not known any more what was asked, the id decides. */
export const isSameCommand = (recorded: string, asked: string): boolean => recorded === "" || recorded === asked

export const encodeCommand = (entry: CommandEntry): Uint8Array => seal(canonicalJson(entry))

/** @throws STORE_DAMAGED */
export const decodeCommand = (file: string, command: string, value: Uint8Array): CommandEntry => {
  const bytes = unseal(value)
  const entry = (bytes && parse(bytes)) as CommandEntry | undefined
  if (entry?.command === command) return entry
  throw fail("STORE_DAMAGED", {
    file,
    why: `the index entry of command ${command} does not match its checksum or its key`,
  })
}
