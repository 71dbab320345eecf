/**
 * What is seen of PCs on their way to their disks, and who is told: the port between the adapters and the boot tracker.
 *
 *     DHCP ─► offered      TFTP, HTTP ─► fetching, fetched      boot scripts ─► script      disks ─► began, joined
 *
 * **Details** DHCP and scripts know a PC by its MAC, TFTP and HTTP by its address alone, disks by the client. A sign costs its adapter nothing but
 * the call.
 */
import type { Boot } from "./boot-recorder.ts"
import type { BootPlan } from "./boot-script.ts"
import type { MachineModel } from "./machine-model.ts"

export type BootSign =
  /** DHCP answered it; `discover`: with an offer. */
  | {
      readonly type: "offered"
      readonly mac: string
      readonly address: string | undefined
      readonly by: "firmware" | "ipxe"
      readonly discover: boolean
      /** For people: architecture, and what it calls itself. */
      readonly firmware: string
    }
  /** It has, or will have, this address, by another server. */
  | { readonly type: "located"; readonly mac: string; readonly address: string }
  /** A boot program is being sent. */
  | { readonly type: "fetching"; readonly address: string; readonly over: "tftp" | "http" }
  /** All of it was. */
  | { readonly type: "fetched"; readonly address: string; readonly over: "tftp" | "http" }
  | {
      readonly type: "script"
      readonly mac: string
      readonly address: string
      /** The client itself asked for it; else perhaps somebody who wants to see what it gets. */
      readonly own: boolean
      readonly plan: BootPlan["kind"]
      /** Name of the boot id in it. */
      readonly boot: string | undefined
      /** Where it said so. */
      readonly model?: MachineModel | undefined
      /** What it says is missing. */
      readonly problem: string | undefined
    }
  /** A request to its disk failed. */
  | { readonly type: "failed"; readonly mac: string; readonly text: string }
  /** Something goes wrong for a PC: not offered, not sent. */
  | { readonly type: "problem"; readonly mac: string; readonly text: string }
  | { readonly type: "problem"; readonly address: string; readonly text: string }

export interface BootSigns {
  take(sign: BootSign): void
}

export interface Joined {
  /** To be called at the session's first read; undefined: nobody waits for it. */
  readonly firstRead: (() => void) | undefined
  /** To be called when the session has ended. */
  readonly left: () => void
}

/** Who is told of sessions at the disks that PCs boot from. */
export interface BootWatch {
  /** A client began to use a fresh disk in slot 0, or a kept one in a new boot. */
  began(boot: Boot): void
  /** A session is given a client's slot 0. */
  joined(client: { readonly id: string; readonly mac: string }, address: string): Joined
}
