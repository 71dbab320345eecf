/** A disk opened over NBD, as benches and specs use one. */
import { connectNbd } from "../../adapters/nbd/client.ts"

export interface DiskClient {
  readonly sizeBytes: number
  read(offset: number, length: number): Promise<Uint8Array>
  write(offset: number, bytes: Uint8Array): Promise<void>
  flush(): Promise<void>
  close(): Promise<void>
}

/** Opens an export of the server at `address:port`. @throws NbdError */
export const openNbdDisk = async (listener: string, name: string): Promise<DiskClient> => {
  const colon = listener.lastIndexOf(":")
  const client = await connectNbd({
    host: listener.slice(0, colon),
    port: Number(listener.slice(colon + 1)),
    export: name,
  })
  return {
    sizeBytes: client.sizeBytes,
    read: (offset, length) => client.read(offset, length),
    write: (offset, bytes) => client.write(offset, bytes),
    flush: () => client.flush(),
    close: () => client.disconnect(),
  }
}
