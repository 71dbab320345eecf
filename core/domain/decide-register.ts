/** Decider of RegisterClient: one computer gets a name. */
import assert from "node:assert"
import type { Catalogue } from "./catalogue.ts"
import type { Body } from "./commands.ts"
import { accept, type Decision, event, refuse } from "./decision.ts"
import { examine, Numbering } from "./registration.ts"

/** Registering a client that is there changes nothing, unless something said about it differs. */
export const registerClient = (catalogue: Catalogue, command: Body<"RegisterClient">): Decision => {
  const { known, mac, address, problems } = examine(catalogue, command)
  if (problems.length > 0) return refuse(problems[0]!)
  if (known) return accept()
  const name = command.name ?? new Numbering(catalogue, []).next()
  assert(mac !== undefined && name !== undefined, "a MAC without a problem is one, and numbers never run out")
  return accept(event("ClientRegistered", { client: { id: command.clientId, name, mac }, address: address ?? null }))
}
