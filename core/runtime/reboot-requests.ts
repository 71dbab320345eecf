/**
 * Which clients are asked to boot anew: a wish that a guest can look up, and that its next boot fulfils.
 *
 * **Details** Nobody is made to: a disk cannot be taken from under a running system without losing what it has not written. So the wish is kept until the client's next
 * boot begins, over restarts of the server, in a small file of the data folder. It is no event: it says what somebody wants, not what is.
 *
 * **Gotchas** A file that cannot be read counts as empty: a wish that is lost is asked for again.
 */
import { limits } from "../limits.ts"
import type { VolumeFolder } from "../storage/volume.ts"

const FILE = "reboot-requests.json"

export interface RebootRequests {
  /** When it was asked for, UTC milliseconds; undefined: it is not. */
  at(clientId: string): number | undefined
  /** Those that were asked already keep their time. */
  ask(clientIds: ReadonlyArray<string>, at: number): Promise<void>
  /** It has booted, or is not to any more. */
  forget(clientIds: ReadonlyArray<string>): Promise<void>
}

export const openRebootRequests = async (data: VolumeFolder): Promise<RebootRequests> => {
  const wanted = read(await data.readFile(FILE))
  let last: Promise<unknown> = Promise.resolve()

  /** One write after the other; each writes what holds then. */
  const save = (): Promise<void> => {
    const text = () => Buffer.from(`${JSON.stringify(Object.fromEntries(wanted))}\n`)
    const next = last.then(() => data.replaceFile(FILE, text()))
    last = next.catch(() => {})
    return next
  }

  return {
    at: (clientId) => wanted.get(clientId),
    async ask(clientIds, at) {
      const fresh = clientIds.filter((id) => !wanted.has(id))
      for (const id of fresh) wanted.set(id, at)
      // Of clients that are gone long since.
      for (const id of wanted.keys()) {
        if (wanted.size <= limits.rebootRequestsMax) break
        wanted.delete(id)
      }
      if (fresh.length > 0) await save()
    },
    async forget(clientIds) {
      const known = clientIds.filter((id) => wanted.delete(id))
      if (known.length > 0) await save()
    },
  }
}

const read = (bytes: Uint8Array | undefined): Map<string, number> => {
  try {
    const found: unknown = JSON.parse(Buffer.from(bytes ?? []).toString("utf8"))
    if (typeof found !== "object" || found === null) return new Map()
    return new Map(Object.entries(found).filter((entry): entry is [string, number] => typeof entry[1] === "number"))
  } catch {
    return new Map()
  }
}
