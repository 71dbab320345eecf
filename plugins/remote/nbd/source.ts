/**
 * An export of any NBD server (nbdkit, qemu-nbd, another Imagelink), read over one connection or several.
 *
 * **Details** Several only where the server says that it takes them (NBD_FLAG_CAN_MULTI_CONN). The protocol has no validator: a change of size is seen at the next
 * connection and refused, any other change is not. So nothing of an export is kept in the cache for the next start unless its configuration says `immutable`;
 * the checksums that a check of the image recorded catch the rest.
 */
import { fail } from "imagelink/plugin"
import type { Clock } from "../clock.ts"
import type { Described, Source, Want } from "../source.ts"
import { type NbdAddress, type NbdConnection, openConnection } from "./connection.ts"
import { FLAG_CAN_MULTI_CONN } from "./wire.ts"

const CONNECTIONS_MAX = 4

export const nbdSource = (address: NbdAddress, clock: Clock): Source => {
  const { url } = address
  const connections = new Set<NbdConnection>()
  let opening: Promise<NbdConnection> | undefined

  const open = (signal: AbortSignal): Promise<NbdConnection> => {
    opening ??= openConnection(address, clock, signal)
      .then((connection) => {
        connections.add(connection)
        return connection
      })
      .finally(() => (opening = undefined))
    return opening
  }

  /** The one with the least to do; another one while all are busy. */
  const choose = async (signal: AbortSignal): Promise<NbdConnection> => {
    for (const connection of connections) if (connection.isLost) connections.delete(connection)
    const [best] = [...connections].sort((a, b) => a.inFlight - b.inFlight)
    if (best === undefined) return open(signal)
    const isSeveral = (best.agreed.flags & FLAG_CAN_MULTI_CONN) !== 0
    if (best.inFlight === 0 || !isSeveral || connections.size >= CONNECTIONS_MAX) return best
    return open(signal).catch(() => best)
  }

  const describe = async (signal: AbortSignal): Promise<Described> => {
    const { agreed } = await choose(signal)
    return { sizeBytes: agreed.sizeBytes, validator: undefined }
  }

  const read = async (want: Want, expected: Described, signal: AbortSignal): Promise<void> => {
    const connection = await choose(signal)
    const { sizeBytes, minimumBytes, maximumBytes } = connection.agreed
    if (sizeBytes !== expected.sizeBytes)
      throw fail("REMOTE_CHANGED", { url, what: `it had ${expected.sizeBytes} bytes and has ${sizeBytes}` })
    // A request begins where the server lets it; a range begins at a block, which is no smaller.
    want.done -= want.done % minimumBytes
    const end = want.into.length
    const take = (piece: Uint8Array) => {
      want.into.set(piece, want.done)
      want.done += piece.length
      want.arrived()
    }
    while (want.done < end)
      await connection.read(want.offset + want.done, Math.min(maximumBytes, end - want.done), take, signal)
  }

  return {
    url,
    describe,
    read,
    async close() {
      for (const connection of connections) connection.close()
      await opening?.then(
        (connection) => connection.close(),
        () => undefined,
      )
    },
  }
}
