/**
 * Leases kept over restarts: one JSON line for each change, appended and synced before the machine is told; written anew when it has grown.
 *
 * **Details** The newest line of an address counts. A last line that a crash cut short was promised to nobody and is left out; any other that
 * cannot be read stops the start with STORE_DAMAGED, because who has which address would be guessed. Changes that arrive while
 * one is being synced go together with the next.
 */
import { fail } from "../../core/errors.ts"
import { addressText, parseAddress } from "./address.ts"
import type { Lease } from "./leases.ts"

/** A file that lines are appended to. */
export interface JournalFile {
  readonly path: string
  /** Undefined when there is none yet. */
  read(): Promise<string | undefined>
  /** Settles when it is on disk. */
  append(text: string): Promise<void>
  /** The file has this text instead, whole or not at all. */
  replace(text: string): Promise<void>
}

export interface LeaseJournal {
  readonly kept: ReadonlyArray<Lease>
  /** Settles when the lease is on disk. */
  write(lease: Lease): Promise<void>
}

const lineOf = ({ mac, address, at, until, state }: Lease): string =>
  `${JSON.stringify({ address: addressText(address), at, mac, state, until })}\n`

const parseLine = (line: string): Lease | undefined => {
  try {
    const { address, at, mac, state, until } = JSON.parse(line) as Record<string, unknown>
    const number = typeof address === "string" ? parseAddress(address) : undefined
    const known = state === "leased" || state === "declined"
    const times = typeof at === "number" && typeof until === "number"
    if (number === undefined || typeof mac !== "string" || !times || !known) return undefined
    return { address: number, mac, at, state, until }
  } catch {
    return undefined
  }
}

/** @throws STORE_DAMAGED */
export const openLeaseJournal = async (file: JournalFile): Promise<LeaseJournal> => {
  const lines = ((await file.read()) ?? "").split("\n")
  const cutShort = lines.pop()
  const newest = new Map<number, Lease>()
  for (const [i, line] of lines.entries()) {
    const lease = parseLine(line)
    if (lease === undefined) throw fail("STORE_DAMAGED", { file: file.path, why: `line ${i + 1} is not a lease` })
    newest.delete(lease.address)
    newest.set(lease.address, lease)
  }
  const kept = [...newest.values()]
  if (kept.length < lines.length || cutShort !== "") await file.replace(kept.map(lineOf).join(""))

  let waiting: Array<Waiting> = []
  let writing = false
  const drain = async (): Promise<void> => {
    writing = true
    while (waiting.length > 0) {
      const batch = waiting
      waiting = []
      const failure = await file.append(batch.map(({ line }) => line).join("")).then(
        () => undefined,
        (e: unknown) => ({ e }),
      )
      for (const { resolve, reject } of batch) {
        if (failure === undefined) resolve()
        else reject(failure.e)
      }
    }
    writing = false
  }
  return {
    kept,
    write: (lease) =>
      new Promise((resolve, reject) => {
        waiting.push({ line: lineOf(lease), resolve, reject })
        if (!writing) void drain()
      }),
  }
}

interface Waiting {
  readonly line: string
  readonly resolve: () => void
  readonly reject: (e: unknown) => void
}
