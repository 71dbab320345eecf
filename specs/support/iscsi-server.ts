/** An iSCSI target over memory disks for specs, and initiators that close with it. */
import { connect, type Socket } from "node:net"
import { connectIscsi, type IscsiClient, type IscsiClientOptions } from "../../adapters/iscsi/client.ts"
import { type IscsiEvent, type IscsiServerInput, listenIscsi } from "../../adapters/iscsi/server.ts"
import { MemoryDevice, type MemoryDeviceOptions, MemoryDisks } from "./memory-disks.ts"

export const targetOf = (client: string) => `iqn.2026-11.io.imagelink:${client.toLowerCase()}`
export const PC1 = targetOf("PC-001")

export const startIscsi = async (
  options: Partial<MemoryDeviceOptions> & { readonly server?: Partial<IscsiServerInput> } = {},
) => {
  const device = new MemoryDevice({ sizeBytes: 4 * 1024 * 1024, id: "PC-001/0/1", ...options })
  const disks = new MemoryDisks().add("client/PC-001/0", device, "PC-001 slot 0 over win11@1")
  const events: Array<IscsiEvent> = []
  const server = await listenIscsi({
    address: "127.0.0.1",
    port: 0,
    disks,
    onEvent: (e) => events.push(e),
    ...options.server,
    limits: { closeSeconds: 1, refusalDelaySeconds: 0, ...options.server?.limits },
  })
  const clients: Array<IscsiClient> = []
  const sockets: Array<Socket> = []
  return {
    device,
    disks,
    events,
    server,
    port: server.port,
    connect: async (more: Partial<IscsiClientOptions> = {}): Promise<IscsiClient> => {
      const client = await connectIscsi({ host: "127.0.0.1", port: server.port, target: PC1, ...more })
      clients.push(client)
      return client
    },
    raw: (): Socket => {
      const socket = connect(server.port, "127.0.0.1").on("error", () => undefined)
      sockets.push(socket)
      return socket
    },
    /** Lets go of what was noted and of clients that are done, for specs that look at memory. */
    forget: () => {
      clients.length = 0
      events.length = 0
      disks.attached.length = 0
    },
    stop: async () => {
      for (const client of clients) client.destroy()
      for (const socket of sockets) socket.destroy()
      await server.close()
    },
  }
}

export const until = async (holds: () => boolean, what: string): Promise<void> => {
  for (let i = 0; i < 2000 && !holds(); i++) await new Promise((r) => setTimeout(r, 5))
  if (!holds()) throw new Error(`never: ${what}`)
}
