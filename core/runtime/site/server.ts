/** What can be asked about the running server: its state, boots, jobs, settings, and folded views. */
import type { JobInfo } from "../../jobs.ts"
import type { BootRow } from "../../projections/boot-history.ts"
import type { LiveBoot } from "../live-boot.ts"
import type { Reloaded } from "../reload.ts"
import type { Status } from "../status.ts"
import type { Nothing, Op } from "./operation.ts"

export interface ServerOperations {
  /** The last boots of each client, or of one; the log has them all. */
  boots: Op<{ readonly client?: string }, ReadonlyArray<BootRow>>
  /** Where computers stand now, by a running server alone: another site answers none. With `follow`, items are those that came to be stuck or met
   * an error, until it is cancelled. */
  "boots.live": Op<{ readonly client?: string; readonly follow?: boolean }, ReadonlyArray<LiveBoot>, LiveBoot>
  /** How the server stands. @throws SERVER_NOT_REACHABLE where none runs */
  status: Op<Nothing, Status>
  /** Reads the settings of the running server again; a broken file changes nothing. */
  "config.reload": Op<Nothing, Reloaded>
  /** Folds everything again from zero and replaces all checkpoints. */
  rebuild: Op<Nothing, ReadonlyArray<{ readonly name: string; readonly position: number }>>
  "rebuild.check": Op<
    Nothing,
    ReadonlyArray<{ readonly name: string; readonly position: number; readonly equal: boolean }>
  >
  jobs: Op<Nothing, ReadonlyArray<JobInfo>>
  "job.cancel": Op<{ readonly id: string }, { readonly cancelled: boolean }>
}
