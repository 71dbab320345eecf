/**
 * What a server counts while it runs and nobody else does: boots and their stages, sessions, what each protocol did.
 *
 * **Details** Counted where something begins or ends (a login, a transfer, a boot), never where a block is read.
 */
import type { Disks, Lease } from "../../block/lease.ts"
import type { Boot } from "../boot-recorder.ts"
import { Histogram } from "./histogram.ts"
import { Tally } from "./tally.ts"
import type { Metric } from "./text.ts"

/** Seconds. A PC's stages take from milliseconds (a script) to minutes (a firmware that waits for its network). */
const STAGE_BOUNDS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160]

export interface ServerCounts {
  boot(boot: Boot): void
  /** The protocol's server told of something; `bytes`: that it sent. */
  event(protocol: string, event: string, bytes?: number): void
  /** The same disks; who has one open is counted by protocol. */
  watch(disks: Disks): Disks
  metrics(): ReadonlyArray<Metric>
}

export const makeServerCounts = (): ServerCounts => {
  const boots = new Tally()
  const wholeBoots = new Histogram(STAGE_BOUNDS)
  const stages = new Map<string, Histogram>()
  const events = new Tally()
  const sent = new Tally()
  const sessions = new Tally()
  const opened = new Tally()

  const counted = (lease: Lease, protocol: string): Lease => {
    sessions.add({ protocol })
    opened.add({ protocol })
    let left = false
    return {
      ...lease,
      release() {
        if (!left) sessions.add({ protocol }, -1)
        left = true
        return lease.release()
      },
    }
  }

  const stage = (name: string): Histogram => {
    const known = stages.get(name) ?? new Histogram(STAGE_BOUNDS)
    stages.set(name, known)
    return known
  }

  return {
    boot({ protocol, stages: reached }) {
      boots.add({ protocol })
      let before = 0
      for (const { name, millis } of reached) {
        stage(name).observe(Math.max(0, millis - before) / 1000)
        before = millis
      }
      if (reached.length > 0) wholeBoots.observe(before / 1000)
    },
    event(protocol, event, bytes = 0) {
      events.add({ protocol, event })
      if (bytes > 0) sent.add({ protocol }, bytes)
    },
    watch: (disks) => ({
      ...disks,
      attach: async (client, slot, boot, peer) => counted(await disks.attach(client, slot, boot, peer), peer.protocol),
      attachImage: async (name, version, peer) => counted(await disks.attachImage(name, version, peer), peer.protocol),
    }),
    metrics: () => [
      {
        name: "imagelink_boots_total",
        type: "counter",
        help: "Boots since the server started, by the protocol of the disk.",
        samples: boots.samples(),
      },
      {
        name: "imagelink_boot_duration_seconds",
        type: "histogram",
        help: "From a boot's first sign of life to the last stage that was seen.",
        samples: wholeBoots.samples(),
      },
      {
        name: "imagelink_boot_stage_duration_seconds",
        type: "histogram",
        help: "How long each stage of a boot took after the one before it.",
        samples: [...stages].flatMap(([name, histogram]) => histogram.samples({ stage: name })),
      },
      {
        name: "imagelink_sessions",
        type: "gauge",
        help: "Disks that are open now, by protocol.",
        samples: sessions.samples(),
      },
      {
        name: "imagelink_sessions_opened_total",
        type: "counter",
        help: "Disks that were opened since the server started, by protocol.",
        samples: opened.samples(),
      },
      {
        name: "imagelink_protocol_events_total",
        type: "counter",
        help: "What the protocols' servers told of: transfers, answers, refusals.",
        samples: events.samples(),
      },
      {
        name: "imagelink_files_sent_bytes_total",
        type: "counter",
        help: "Bytes of boot files that were sent whole, by protocol.",
        samples: sent.samples(),
      },
    ],
  }
}
