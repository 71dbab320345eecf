/** As which client the probes ask: the one that the operator names, else one that is linked and, if any is, off. */
import { fail } from "../../../core/errors.ts"
import type { ClientRow } from "../../../core/runtime/site/clients.ts"
import type { Exam } from "../exam.ts"
import { asDoctor } from "../store.ts"

/** @throws CLIENT_NOT_FOUND where the named one is none */
export const chooseClient = async ({ site, running }: Exam, as: string | undefined): Promise<ClientRow | undefined> => {
  const asked = await site()
  const clients = await asked.call("client.list", {}, asDoctor)
  if (as !== undefined) {
    const { client } = await asked.call("client.show", { client: as }, asDoctor)
    const named = clients.find(({ name }) => name === client.name)
    if (named === undefined) throw fail("CLIENT_NOT_FOUND", { client: as })
    return named
  }
  const linked = clients.filter(({ links }) => links.some(({ slot }) => slot === 0))
  if (running === undefined) return linked[0] ?? clients[0]
  const { clients: states } = await asked.call("status", {}, asDoctor)
  const off = new Set(states.filter(({ state }) => state === "off").map(({ client }) => client))
  return linked.find(({ name }) => off.has(name)) ?? linked[0] ?? clients[0]
}
