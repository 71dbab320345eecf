/**
 * What becomes of a computer that nobody registered and that asks for its boot script.
 *
 * | `registration` | says                                                                                    |
 * | -------------- | --------------------------------------------------------------------------------------- |
 * | `closed`       | its MAC is shown, and the command that adds it                                          |
 * | `ask`          | whoever stands before it gives it a name; none means the next free number               |
 * | `auto`         | it is added with the next free number                                                   |
 *
 * **Details** With `default-image` it is linked to that in the same command, so it is never there without. No address is recorded: whoever
 * reaches the port can make up MACs, and a recorded address leaves the range for good, where a lent one comes back; with DHCP of ours it is lent the same one again
 * as long as there is any choice (adapters/dhcp/leases.ts). Where scripts are to be given to one address only, `client set PC-001 --ip` records it.
 *
 * **Gotchas** Whoever reaches the port can make up MACs, so with `ask` and `auto` only so many are added in a minute; the others ask again.
 */
import { limits } from "../limits.ts"

export type Registration = "closed" | "ask" | "auto"

export interface NewClient {
  readonly mac: string
  /** Left out: the next free number. */
  readonly name?: string
  readonly image?: string
}

export interface Registrar {
  readonly mode: Registration
  /** Whether it was added: not with too many in this minute. @throws what adding a client throws */
  register(mac: string, name: string): Promise<boolean>
}

export interface RegistrarOptions {
  readonly mode: () => Registration
  readonly defaultImage: () => string | undefined
  readonly add: (client: NewClient) => Promise<unknown>
  /** UTC milliseconds. */
  readonly now: () => number
}

export const makeRegistrar = ({ mode, defaultImage, add, now }: RegistrarOptions): Registrar => {
  let minute = 0
  let added = 0
  const isRoom = (): boolean => {
    const current = Math.floor(now() / 60_000)
    if (current !== minute) added = 0
    minute = current
    return added++ < limits.registrationsPerMinute
  }
  return {
    get mode() {
      return mode()
    },
    async register(mac, name) {
      if (mode() === "closed" || !isRoom()) return false
      const named = name === "" ? {} : { name }
      const image = defaultImage()
      const linked = image === undefined ? {} : { image }
      await add({ mac, ...named, ...linked })
      return true
    },
  }
}
