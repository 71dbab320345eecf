/**
 * Where each operation is found over HTTP, and who may call it: the table that server, client and OpenAPI document are made from.
 *
 * **Details** Keys of an operation's input that stand in the path come from there; the others come from the query of a GET or DELETE, and from
 * the JSON body of anything else. `items`: the operation streams.
 */
import type { OperationName } from "../../../core/runtime/site.ts"
import type { TokenRole } from "../../../core/runtime/tokens.ts"

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE"

/** What a caller may do: read what is, read also what was and who did it, change clients and images, everything. */
export type Role = TokenRole

export interface Route {
  readonly method: Method
  readonly path: `/api/v1/${string}`
  readonly role: Role
  /** One line for the reference. */
  readonly says: string
  /** It appends to the log: it takes a dry run, an idempotency key and a position to hold against. */
  readonly changes?: true
  readonly items?: true
  /** It does something that is not recorded: it takes a dry run. */
  readonly acts?: true
}

const read = (path: Route["path"], says: string, role: Role = "viewer"): Route => ({ method: "GET", path, role, says })
const ask = (path: Route["path"], says: string, role: Role = "viewer"): Route => ({ method: "POST", path, role, says })
const change = (
  method: Method,
  path: Route["path"],
  says: string,
  role: Role = "operator",
): Route & { changes: true } => ({ method, path, role, says, changes: true })

const act = (path: Route["path"], says: string): Route => ({ ...ask(path, says, "operator"), acts: true })

export const routes: { readonly [N in OperationName]: Route } = {
  "image.list": read("/api/v1/images", "Every image with its versions"),
  "image.add": change("POST", "/api/v1/images", "Add an image file, served where it is"),
  "image.show": read("/api/v1/images/{name}", "One image, now or then, and who uses each version"),
  "image.remove": change("DELETE", "/api/v1/images/{name}", "Remove an image that nothing links to"),
  "image.create": change("POST", "/api/v1/images/{name}/create", "Make an empty disk to install onto"),
  "image.seal": change("POST", "/api/v1/images/{name}/seal", "Make what was written to it version 1"),
  "image.check": change("POST", "/api/v1/images/{name}/check", "Read a version whole and compare its checksums"),
  "image.relocate": change("POST", "/api/v1/images/{name}/relocate", "Say where an image's file is now"),
  "image.place": change("POST", "/api/v1/images/{name}/place", "Serve an image from another storage tier"),
  "image.commit": change("POST", "/api/v1/images/{name}/commit", "Make the super client's writes the next version"),
  "image.rollback": change("POST", "/api/v1/images/{name}/rollback", "Make an older version current"),
  "image.retire": change("POST", "/api/v1/images/{name}/retire", "Retire a version that nothing needs"),
  "image.flatten": change("POST", "/api/v1/images/{name}/flatten", "Merge the layers of a version into one file"),
  "image.heat": read("/api/v1/images/{name}/heat", "What boots read of an image"),
  "image.record": ask("/api/v1/images/{name}/record", "Record what clients read until the time is over", "operator"),
  "heat.export": read("/api/v1/images/{name}/heat/file", "The recordings as a file"),
  "heat.import": {
    method: "PUT",
    path: "/api/v1/images/{name}/heat/file",
    role: "operator",
    says: "Take recordings from a file",
  },
  "image.diff": ask("/api/v1/images/diff", "What differs between two versions"),
  "client.list": read("/api/v1/clients", "Every client with its links"),
  "client.add": change("POST", "/api/v1/clients", "Register a client"),
  "client.show": read("/api/v1/clients/{client}", "One client, now or then"),
  "client.set": change("PATCH", "/api/v1/clients/{client}", "Change a client's name, MAC, address or options"),
  "client.script": read("/api/v1/clients/{client}/script", "The boot script that it would be given"),
  "client.set-super": change("POST", "/api/v1/clients/{client}/set-super", "Make it an image's super client"),
  "client.clear-super": change("POST", "/api/v1/clients/{client}/clear-super", "Make it an ordinary client again"),
  "client.import": change("POST", "/api/v1/clients/import", "Register many clients at once, all or none"),
  "client.copy": change("POST", "/api/v1/clients/copy", "Register clients like another one"),
  "client.link": change("POST", "/api/v1/clients/link", "Link clients to an image"),
  "client.unlink": change("POST", "/api/v1/clients/unlink", "End links of clients"),
  "client.reset": change("POST", "/api/v1/clients/reset", "Throw away what clients wrote"),
  "client.remove": change("POST", "/api/v1/clients/remove", "Remove clients"),
  "client.next-boot": change("POST", "/api/v1/clients/next-boot", "Say what clients boot next, once"),
  "client.disconnect": act("/api/v1/clients/disconnect", "End the sessions of clients; they may come back"),
  "client.wake": act("/api/v1/clients/wake", "Switch clients on over the network"),
  "client.request-reboot": act("/api/v1/clients/request-reboot", "Ask clients to boot anew, until they have"),
  "group.list": read("/api/v1/groups", "Every group"),
  "group.create": change("POST", "/api/v1/groups", "Make a group of clients"),
  "group.show": read("/api/v1/groups/{group}", "One group, now or then"),
  "group.change": change("PATCH", "/api/v1/groups/{group}", "Change a group's name, members or options"),
  "group.remove": change("DELETE", "/api/v1/groups/{group}", "Remove a group; its clients stay"),
  "group.link": change("POST", "/api/v1/groups/{group}/link", "Link a group to an image"),
  "group.unlink": change("POST", "/api/v1/groups/{group}/unlink", "End a group's link"),
  links: read("/api/v1/links", "The link table"),
  "links.at": read("/api/v1/links/at", "The link table then"),
  "links.diff": ask("/api/v1/links/diff", "What differs between the link tables of two moments"),
  "links.restore": change("POST", "/api/v1/links/restore", "Bring clients and links back to a moment", "admin"),
  boots: read("/api/v1/boots", "The last boots"),
  "boots.live": read("/api/v1/boots/live", "Where computers stand now"),
  status: read("/api/v1/status", "How the server stands, and every computer in a row"),
  "config.reload": ask("/api/v1/config/reload", "Read the settings again, and go by those that can change", "admin"),
  history: { ...read("/api/v1/history", "Who changed what, from what to what", "auditor"), items: true },
  log: { ...read("/api/v1/log", "The events themselves", "auditor"), items: true },
  "audit.key": read("/api/v1/audit/key", "The key that the log's checkpoints are signed with"),
  "audit.checkpoint": ask("/api/v1/audit/checkpoint", "Publish what is there, and its signed note", "auditor"),
  "audit.verify": ask("/api/v1/audit/verify", "Recompute everything from the events", "auditor"),
  "audit.prove": read("/api/v1/audit/prove/{position}", "Proof that an event is in the log", "auditor"),
  "audit.consistency": ask("/api/v1/audit/consistency", "Proof that the log extends an older note", "auditor"),
  "audit.export": ask("/api/v1/audit/export", "Write log, tiles and note as one file on the server", "admin"),
  backup: ask("/api/v1/backup", "Make a backup in a folder of the server", "admin"),
  rebuild: ask("/api/v1/rebuild", "Fold every view again from zero", "admin"),
  "rebuild.check": ask("/api/v1/rebuild/check", "Compare every view with its rebuild", "auditor"),
  "token.list": read("/api/v1/tokens", "Who may ask over the network", "admin"),
  "token.create": ask("/api/v1/tokens", "Make a token; it is shown this once", "admin"),
  "token.revoke": { method: "DELETE", path: "/api/v1/tokens/{name}", role: "admin", says: "Take a token back" },
  jobs: read("/api/v1/jobs", "Long work that runs or ended lately"),
  "job.cancel": {
    method: "DELETE",
    path: "/api/v1/jobs/{id}",
    role: "operator",
    says: "Stop long work; what it did so far stays valid",
  },
}

/** A route's keys that stand in its path, in order. */
export const pathKeys = (path: string): ReadonlyArray<string> => [...path.matchAll(/\{(\w+)\}/g)].map(([, key]) => key!)

/** The other keys are in the body. */
export const hasBody = ({ method }: Route): boolean => method === "POST" || method === "PUT" || method === "PATCH"

const ranks: Readonly<Record<Role, number>> = { viewer: 0, auditor: 1, operator: 2, admin: 3 }

/** An auditor reads what an operator reads and changes nothing; an operator reads what an auditor reads. */
export const allows = (role: Role, route: Role): boolean => ranks[role] >= ranks[route]
