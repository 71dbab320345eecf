/** What a simulated PC needs of the network: each protocol's client, brought by the composition root. */

export interface Given {
  readonly address: string
  readonly file: string
}

export interface DiskClient {
  readonly sizeBytes: number
  /** What it answers holds until the next read. */
  read(offset: number, length: number): Promise<Uint8Array>
  write(offset: number, bytes: Uint8Array): Promise<void>
  flush(): Promise<void>
  close(): Promise<void>
}

/** A disk as a boot script names it. */
export interface DiskAddress {
  readonly host: string
  readonly port: number
  readonly lun: number
  readonly target: string
  readonly initiator: string
}

/** `from`: the PC's own address. */
export interface Wires {
  dhcp(mac: string, as: "firmware" | "ipxe"): Promise<Given>
  tftp(from: string, file: string): Promise<Uint8Array>
  http(from: string, url: string): Promise<string>
  disk(from: string, at: DiskAddress): Promise<DiskClient>
  close(): Promise<void>
}
