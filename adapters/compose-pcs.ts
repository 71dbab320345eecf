/** The composition root's part for simulated PCs: the client of each protocol that a server serves, behind one interface. */
import type { DiskAddress, DiskClient, Wires } from "./cli/demo/wires.ts"
import { relayDhcp } from "./dhcp/client.ts"
import { fetchHttp } from "./http/client.ts"
import { connectIscsi } from "./iscsi/client.ts"
import { fetchTftp } from "./tftp/client.ts"

/** As EDK2's firmware asks. */
const TFTP = { blksize: 1468, windowsize: 4 } as const

const addressed = (listener: string | undefined) => {
  const [address = "", port = ""] = listener?.split(":") ?? []
  return { address, port: Number(port) }
}

/** `relay`: an address of this machine that is nobody else's. */
export const simulatedPcs = async (listeners: Readonly<Record<string, string>>, relay: string): Promise<Wires> => {
  const dhcp = await relayDhcp({ server: addressed(listeners.dhcp), address: relay })
  const tftp = addressed(listeners.tftp)
  return {
    dhcp: dhcp.obtain,
    async tftp(from, file) {
      const asked = { host: tftp.address, port: tftp.port, file, localAddress: from, ...TFTP }
      return (await fetchTftp(asked)).bytes
    },
    http: async (from, url) => (await fetchHttp({ url: withoutSettings(url), localAddress: from })).toString(),
    disk: openDisk,
    close: dhcp.close,
  }
}

/** iPXE puts its settings in; this one has none. */
const withoutSettings = (url: string): string => url.replaceAll(/\$\{[^}]*\}/gu, "")

const openDisk = async (from: string, at: DiskAddress): Promise<DiskClient> => {
  const client = await connectIscsi({ ...at, localAddress: from })
  // A hundred PCs that read a gigabyte are not to measure how fast memory is given out.
  let place = Buffer.alloc(0)
  return {
    sizeBytes: await client.sizeBytes(),
    read(offset, length) {
      if (place.length < length) place = Buffer.allocUnsafe(length)
      return client.read(offset, length, place.subarray(0, length))
    },
    write: (offset, bytes) => client.write(offset, bytes),
    flush: () => client.flush(),
    close: () => client.logout(),
  }
}
