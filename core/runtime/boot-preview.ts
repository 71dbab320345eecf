/**
 * A client's script as it would be now, for the operator: it makes no boot id and changes nothing.
 *
 * **Details** What only a request tells is told by the server's own addresses, and by the client's recorded one. Where no server runs, the script names
 * it as iPXE does that was told by DHCP.
 */
import type { Catalogue, ClientEntry } from "../domain/catalogue.ts"
import { PREVIEW } from "./boot-ids.ts"
import { bootScript, NEXT_SERVER } from "./boot-script.ts"
import { inSameSubnet, isSuper, planFor, scriptUrl } from "./boot-scripts.ts"
import type { ImageStacks } from "./image-stacks.ts"

/** Where a running server listens. */
export interface BootServer {
  /** Undefined where it listens on every address. */
  readonly address: string | undefined
  readonly httpPort: number | undefined
  readonly iscsiPort: number | undefined
  readonly prefixOf: (address: string) => number | undefined
}

/** By custom: what is assumed while no server runs. */
const noServer: BootServer = { address: undefined, httpPort: 80, iscsiPort: 3260, prefixOf: () => undefined }

export const previewScript = async (
  catalogue: Catalogue,
  client: ClientEntry,
  stacks: ImageStacks | undefined,
  at: BootServer = noServer,
): Promise<string> => {
  const server = at.address ?? NEXT_SERVER
  const script = scriptUrl(`http://${server}:${at.httpPort ?? 80}`, client.mac)
  const sameSubnet = inSameSubnet(server, at.prefixOf(server), client.address ?? "")
  const facts = { server, iscsiPort: at.iscsiPort, script, sameSubnet }
  const keys = { bootId: PREVIEW, ...(isSuper(client) ? { password: PREVIEW } : {}) }
  const plan = await planFor({ catalogue: () => catalogue, stacks, client, facts, issue: async () => keys })
  return bootScript(plan)
}
