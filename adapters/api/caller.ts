/** Who asks, and what they may do: every request has one before anything else is looked at. */
import type { IncomingMessage } from "node:http"
import { fail } from "../../core/errors.ts"
import type { Actor } from "../../core/log/event-log.ts"
import type { OperationName } from "../../core/runtime/site.ts"
import { allows, type Role, routes } from "./contract/routes.ts"

export interface Caller {
  readonly actor: Actor
  readonly role: Role
  /** Ids of the groups whose clients alone the caller may change; empty: no such bound. */
  readonly groups: ReadonlyArray<string>
}

/** A request that was admitted. `gone` is aborted when the caller hangs up. */
export interface Admitted {
  readonly caller: Caller
  readonly gone: AbortSignal
}

const admitted = new WeakMap<IncomingMessage, Admitted>()
export const admit = (request: IncomingMessage, as: Admitted): void => void admitted.set(request, as)
export const admittedAs = (request: IncomingMessage): Admitted => admitted.get(request)!

/** Says for names of clients and groups whether all of them are within the caller's groups. */
export type WithinGroups = (clients: ReadonlyArray<string>, groups: ReadonlyArray<string>) => Promise<boolean>

/** What someone bound to groups may change: their clients, and nothing that others share. */
const ofClients: ReadonlySet<OperationName> = new Set([
  ...(["client.link", "client.unlink", "client.reset", "client.next-boot", "client.set"] as const),
  ...(["client.set-super", "client.clear-super"] as const),
  ...(["client.disconnect", "client.wake", "client.request-reboot"] as const),
])

const words: Readonly<Record<Role, string>> = {
  viewer: "a viewer",
  auditor: "an auditor",
  operator: "an operator",
  admin: "an admin",
}

/** @throws PERMISSION_DENIED */
export const judge = async (
  { actor, role, groups }: Caller,
  op: OperationName,
  input: unknown,
  within: WithinGroups,
): Promise<void> => {
  const route = routes[op]
  const denied = (need: string, as: string = words[role]) =>
    fail("PERMISSION_DENIED", { who: actor.name, role: as, what: op, need })
  if (!allows(role, route.role)) throw denied(words[route.role])
  if (groups.length === 0 || route.role === "viewer" || route.role === "auditor") return
  const bound = `${words[role]} of some groups`
  if (!ofClients.has(op)) throw denied(`${words[route.role]} of all groups`, bound)
  const { client, clients = client === undefined ? [] : [client] } = input as {
    readonly client?: string
    readonly clients?: ReadonlyArray<string>
  }
  if (!(await within(clients, groups))) throw denied("clients of those groups only", bound)
}
