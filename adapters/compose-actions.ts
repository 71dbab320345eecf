/** The composition root's part for what is done to clients themselves: their sessions, a packet that wakes them, a wish that they boot anew. */
import { networkInterfaces } from "node:os"
import { fail } from "../core/errors.ts"
import type { ClientActions } from "../core/runtime/parts.ts"
import { makeSleep } from "../core/runtime/scrub/sleep.ts"
import type { ServedDisks } from "./compose-disks.ts"
import { later, type Run } from "./compose-run.ts"
import { networksOf } from "./wake/networks.ts"
import { sendWake } from "./wake/send.ts"

export const clientActions = (
  { config, onEvent }: Run,
  { sessions, reboots }: Pick<ServedDisks, "sessions" | "reboots">,
): ClientActions => ({
  sessions,
  reboots,
  async wake(mac, dryRun) {
    const networks = networksOf(networkInterfaces(), config.address)
    if (networks.length === 0)
      throw fail("WAKE_FAILED", { mac, why: `no network of this machine has the address ${config.address}` })
    for (const network of dryRun ? [] : networks) await sendWake(mac, network)
    return networks.map(({ broadcast, name }) => `${broadcast} by ${name}`)
  },
  sleep: makeSleep(later),
  note: (actor, client, did) =>
    onEvent({ level: "info", text: `${actor} ${did} ${client}`, about: { protocol: "api", actor, client } }),
})
