/**
 * The magic packet of Wake-on-LAN (AMD, Magic Packet Technology, 1995): what a network card that waits for it switches its PC on for.
 *
 *     0   6 bytes of FF
 *     6   the card's MAC, sixteen times
 *
 * **Details** It may stand anywhere in a frame; by custom it is sent as a UDP datagram to port 9 (discard), broadcast, because a PC that is off answers no ARP.
 */
const REPEATS = 16

/** `mac`: as `52:54:00:00:00:01`. */
export const magicPacket = (mac: string): Uint8Array => {
  const bytes = mac.split(":").map((pair) => Number.parseInt(pair, 16))
  const packet = new Uint8Array(bytes.length * (1 + REPEATS)).fill(0xff, 0, bytes.length)
  for (let i = 1; i <= REPEATS; i++) packet.set(bytes, i * bytes.length)
  return packet
}
