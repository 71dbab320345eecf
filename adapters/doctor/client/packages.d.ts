/** What of two packages without types is used here. */

declare module "dhcp/lib/protocol.js" {
  interface DhcpPacket {
    readonly op: number
    readonly xid: number
    readonly yiaddr: string
    readonly siaddr: string
    readonly chaddr: string
    readonly file: string
    readonly options: Readonly<Record<number, unknown>>
  }
  const protocol: {
    parse(bytes: Buffer): DhcpPacket
    format(message: object): { readonly _data: Buffer; readonly _w: number }
  }
  export default protocol
}

declare module "dhcp/lib/options.js" {
  const options: {
    readonly opts: Readonly<Record<number, object>>
    addOption(code: number, option: { readonly name: string; readonly type: string }): void
  }
  export default options
}

declare module "tftp2" {
  const tftp: (
    host: string,
    port: number,
  ) => { read(file: string, push: (bytes: Buffer) => void, done: () => void): Promise<void>; close(): void }
  export default tftp
}
