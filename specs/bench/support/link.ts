/** A link as a process of its own, so that it takes no time from what is measured: `node link.ts PORT ROUND_TRIP_MILLIS BYTES_PER_SECOND`. */
import { linkProxy } from "../../support/link-proxy.ts"

const [port, roundTripMillis, bytesPerSecond] = process.argv.slice(2).map(Number) as [number, number, number]
const link = await linkProxy({ port, roundTripMillis, bytesPerSecond })
process.send?.({ port: link.port })
process.on("message", () => {
  const { bytes, roundTrips, connections } = link
  process.send?.({ bytes, roundTrips, connections })
})
