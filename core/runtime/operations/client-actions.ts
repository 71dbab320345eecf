/**
 * What an operator does to clients themselves, beside what is recorded of them: end their sessions, switch them on, ask them to boot anew.
 *
 * **Details** None of it changes what a client gets, so none of it is an event; the server's log says who did it.
 */
import type { ClientEntry } from "../../domain/catalogue.ts"
import { findClients } from "../../domain/lookup.ts"
import { fail, ImagelinkError } from "../../errors.ts"
import { limits } from "../../limits.ts"
import type { Actor } from "../../log/event-log.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import type { Parts } from "../parts.ts"
import { openRebootRequests } from "../reboot-requests.ts"
import type { Operations } from "../site.ts"

type Names = "client.disconnect" | "client.wake" | "client.request-reboot"

export const clientActions = (parts: Parts): Operations<Names> => {
  const clientsOf = async (names: ReadonlyArray<string>): Promise<ReadonlyArray<ClientEntry>> => {
    const found = findClients(await parts.views.state(catalogueProjection), names)
    if (found instanceof ImagelinkError) throw found
    return found
  }
  const server = () => {
    if (parts.serving?.actions !== undefined) return parts.serving.actions
    throw fail("SERVER_NOT_REACHABLE", { path: "the data folder", why: "no server runs on it" })
  }
  const note = ({ kind, name }: Actor, client: string, did: string) =>
    parts.serving?.actions?.note(`${kind}:${name}`, client, did)

  return {
    async "client.disconnect"({ clients: names }, { actor, dryRun = false }) {
      const { sessions, sleep } = server()
      const clients = await clientsOf(names)
      if (dryRun)
        return {
          dryRun,
          clients: clients.map(({ id, name }) => ({ client: name, sessions: sessions.of(id).length, left: 0 })),
        }
      const rows = clients.map(({ id, name }) => {
        const ending = sessions.disconnect(id)
        const row = { client: name, sessions: ending.length, left: ending.length }
        return { row, ended: Promise.all(ending.map((end) => end.then(() => void row.left--))) }
      })
      const enough = new AbortController()
      await Promise.race([
        Promise.all(rows.map(({ ended }) => ended)),
        sleep(limits.disconnectMillisMax, enough.signal),
      ])
      enough.abort()
      for (const { row } of rows) note(actor, row.client, `ended ${row.sessions} sessions of`)
      return { dryRun, clients: rows.map(({ row }) => ({ ...row })) }
    },

    async "client.wake"({ clients: names }, { actor, dryRun = false }) {
      const { wake } = server()
      const clients = await clientsOf(names)
      const rows: Array<{ client: string; mac: string; sentTo: ReadonlyArray<string> }> = []
      for (const { name, mac } of clients) {
        rows.push({ client: name, mac, sentTo: await wake(mac, dryRun) })
        if (!dryRun) note(actor, name, "sent a packet to wake")
      }
      return { dryRun, clients: rows }
    },

    async "client.request-reboot"({ clients: names, cancel = false }, { actor, dryRun = false }) {
      const clients = await clientsOf(names)
      const requests = parts.serving?.actions?.reboots ?? (await openRebootRequests(parts.data))
      const ids = clients.map(({ id }) => id)
      if (!dryRun && cancel) await requests.forget(ids)
      if (!dryRun && !cancel) await requests.ask(ids, parts.now())
      if (!dryRun)
        for (const { name } of clients)
          note(actor, name, cancel ? "took back a request to reboot of" : "asked for a reboot of")
      return {
        dryRun,
        clients: clients.map(({ id, name }) => ({ client: name, requestedAt: requests.at(id) ?? null })),
      }
    },
  }
}
