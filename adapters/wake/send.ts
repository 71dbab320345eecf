/** Sends magic packets: from an interface's own address, so that they leave by it, to everybody in its network. */
import { createSocket } from "node:dgram"
import { fail } from "../../core/errors.ts"
import type { Network } from "./networks.ts"
import { magicPacket } from "./packet.ts"

/** By custom of Wake-on-LAN. */
export const WAKE_PORT = 9

/** @throws WAKE_FAILED */
export const sendWake = (mac: string, { name, address, broadcast }: Network, port = WAKE_PORT): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = createSocket("udp4")
    const ended = (e: Error | null) => {
      socket.close()
      if (e === null) resolve()
      else reject(fail("WAKE_FAILED", { mac, why: `${name}: ${e.message}` }, { underlying: e }))
    }
    socket.once("error", ended)
    socket.bind({ address, port: 0 }, () => {
      socket.setBroadcast(true)
      socket.send(magicPacket(mac), port, broadcast, ended)
    })
  })
