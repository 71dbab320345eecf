/**
 * Who a client is to be: checks a wanted MAC, name and address against everyone else's, for registering, importing and copying alike.
 *
 * **Details** A client already there is fine as long as nothing said about it differs; what is left out is not claimed. What the same
 * command gives away twice is not seen here, because the catalogue does not change under a decider: import and copy look for that.
 */
import { fail, type ImagelinkError } from "../errors.ts"
import type { Catalogue, ClientEntry } from "./catalogue.ts"
import { isClientName, nameKey, parseAddress, parseMac } from "./names.ts"
import { firstNumbered, nextName } from "./numbered.ts"

export interface Wanted {
  readonly clientId: string
  readonly mac: string
  readonly name?: string | undefined
  readonly address?: string | undefined
}

export interface Examined {
  /** The client that has this MAC already. */
  readonly known: ClientEntry | undefined
  /** Canonical; undefined where it was not given or is malformed. */
  readonly mac: string | undefined
  readonly name: string | undefined
  readonly address: string | undefined
  readonly problems: ReadonlyArray<ImagelinkError>
}

const addressText = (address: string | null): string => (address === null ? "no address" : `address ${address}`)

const nameProblem = (
  catalogue: Catalogue,
  known: ClientEntry | undefined,
  name: string,
): ImagelinkError | undefined => {
  if (!isClientName(name)) return fail("CLIENT_NAME_INVALID", { name })
  const holder = catalogue.clientsByName.get(nameKey(name))
  if (holder && holder !== known) return fail("CLIENT_NAME_TAKEN", { name, holder: holder.mac })
  if (known && !holder) return fail("CLIENT_MAC_TAKEN", { mac: known.mac, holder: known.name })
  return undefined
}

const addressProblem = (
  catalogue: Catalogue,
  known: ClientEntry | undefined,
  text: string,
): ImagelinkError | undefined => {
  const address = parseAddress(text)
  if (address === undefined) return fail("CLIENT_ADDRESS_INVALID", { address: text })
  const holder = catalogue.clientsByAddress.get(address)
  if (holder && holder !== known) return fail("CLIENT_ADDRESS_TAKEN", { address, holder: holder.name })
  if (known && !holder) {
    return fail("CLIENT_DIFFERS", { client: known.name, has: addressText(known.address), given: addressText(address) })
  }
  return undefined
}

/** Ids are never used again, because the history of what was removed is under its own. */
export const removedIdProblem = (catalogue: Catalogue, id: string): ImagelinkError | undefined => {
  const removed = catalogue.removed.get(id)
  return removed && fail("ID_TAKEN", { id, holder: `the removed ${removed.kind} ${removed.name}` })
}

const idProblem = (catalogue: Catalogue, id: string): ImagelinkError | undefined => {
  const holder = catalogue.clients.get(id)
  return holder ? fail("ID_TAKEN", { id, holder: `the client ${holder.name}` }) : removedIdProblem(catalogue, id)
}

/** Everything that is wrong with a wanted client, as far as the catalogue knows. */
export const examine = (catalogue: Catalogue, wanted: Wanted): Examined => {
  const { name, address } = wanted
  const mac = parseMac(wanted.mac)
  const known = mac === undefined ? undefined : catalogue.clientsByMac.get(mac)
  const problems = [
    mac === undefined ? fail("CLIENT_MAC_INVALID", { mac: wanted.mac }) : undefined,
    name === undefined ? undefined : nameProblem(catalogue, known, name),
    address === undefined ? undefined : addressProblem(catalogue, known, address),
    known ? undefined : idProblem(catalogue, wanted.clientId),
  ]
  return {
    known,
    mac,
    name: name !== undefined && isClientName(name) ? name : undefined,
    address: address === undefined ? undefined : parseAddress(address),
    problems: problems.filter((p) => p !== undefined),
  }
}

/** Gives out numbered names within one command: free in the catalogue, and not promised to anyone else by the command. */
export class Numbering {
  readonly #taken: (key: string) => boolean
  #last: string

  constructor(catalogue: Catalogue, promised: Iterable<string>, after = firstNumbered) {
    const keys = new Set(Array.from(promised, nameKey))
    this.#taken = (key) => catalogue.clientsByName.has(key) || keys.has(key)
    this.#last = after
  }

  /** Undefined when a name numbered on would be too long. */
  next(): string | undefined {
    const name = nextName(this.#last, this.#taken)
    if (name === undefined) return undefined
    this.#last = name
    return name
  }
}
