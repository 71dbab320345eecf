/**
 * Which client uses a disk from which address now: what DHCP asks before it gives an address to anybody.
 *
 * **Details** Kept by the leases on disks: an address counts as long as a session from it holds one. Sessions over loopback say nothing of a PC.
 */
import type { Disks, Lease, Peer } from "../block/lease.ts"

export interface LivePeers {
  /** The same disks; who opens one is remembered while it is open. */
  watch(disks: Disks): Disks
  addressOf(clientId: string): string | undefined
  clientAt(address: string): string | undefined
}

export const makeLivePeers = (): LivePeers => {
  /** Client, then address, then how many leases. */
  const live = new Map<string, Map<string, number>>()

  const enter = (clientId: string, { address, loopback }: Peer): (() => void) => {
    if (loopback) return () => {}
    const addresses = live.get(clientId) ?? new Map<string, number>()
    live.set(clientId, addresses.set(address, (addresses.get(address) ?? 0) + 1))
    let left = false
    return () => {
      if (left) return
      left = true
      const count = addresses.get(address)! - 1
      if (count > 0) addresses.set(address, count)
      else addresses.delete(address)
      if (addresses.size === 0) live.delete(clientId)
    }
  }

  const watched = (lease: Lease, peer: Peer): Lease => {
    const clientId = lease.identity?.split("/")[0]
    if (clientId === undefined) return lease
    const leave = enter(clientId, peer)
    return {
      ...lease,
      release() {
        leave()
        return lease.release()
      },
    }
  }

  return {
    watch: (disks) => ({
      ...disks,
      attach: async (client, slot, boot, peer) => watched(await disks.attach(client, slot, boot, peer), peer),
    }),
    addressOf: (clientId) => live.get(clientId)?.keys().next().value,
    clientAt(address) {
      for (const [clientId, addresses] of live) if (addresses.has(address)) return clientId
      return undefined
    },
  }
}
