/** What DHCP says to one client: its firmware, and the iPXE that it loads. */

/** An offer, as the package `dhcp` reads it. */
export interface Offer {
  /** The server's own address (option 54), or where the answer came from. */
  readonly server: string
  /** `0.0.0.0` for none. */
  readonly address: string
  /** Where files come from (siaddr, or option 66). */
  readonly next: string
  /** A path, or iPXE's URL; empty for none. */
  readonly file: string
}

/** Who asks. */
export const asks = ["bios", "uefi", "ipxe"] as const
export type Ask = (typeof asks)[number]

export interface Hearing {
  /** Why nobody was asked. */
  readonly silent: string | undefined
  /** Where it was asked: `eth1`, or `127.0.0.1`. */
  readonly where: string
  readonly offers: Readonly<Record<Ask, ReadonlyArray<Offer>>>
  /** What the boot server's own port said to firmware that asked it; undefined: it was not asked. */
  readonly bootServer?: Offer | "silent" | undefined
}

export const unasked = (silent: string): Hearing => ({ silent, where: "", offers: { bios: [], uefi: [], ipxe: [] } })

/** The address of the server that is examined decides what is ours. */
export const ownOffer = ({ offers }: Hearing, ask: Ask, ours: string): Offer | undefined =>
  offers[ask].find(({ server }) => server === ours)
