/** The clock: not before what the log has recorded, and kept right by something. */
import { fail } from "../../../core/errors.ts"
import type { Check } from "../check.ts"
import { failed, pass, skip, warn } from "../finding.ts"
import { asDoctor, askSite } from "../store.ts"
import { timeText } from "../words.ts"

/** Of a step that a time service makes. */
const TOLERANCE_MILLIS = 1000

export const clock: Check = {
  name: "clock",
  side: "server",
  async run(exam) {
    const at = exam.now()
    const synchronised = exam.host.clockSynchronised?.()
    const kept =
      synchronised === undefined
        ? skip("synchronised", "this host does not tell")
        : synchronised
          ? pass("synchronised", "the kernel says so")
          : warn("synchronised", fail("CLOCK_UNSYNCHRONISED", { now: timeText(at) }))
    const last = await askSite(exam, "last event", async (site) => {
      const { at: last } = await site.call("links.at", {}, asDoctor)
      if (last === null) return [skip("last event", "there is none yet")]
      if (at + TOLERANCE_MILLIS >= last) return [pass("last event", `${timeText(last)}, before now`)]
      return [failed("last event", fail("CLOCK_BEHIND", { now: timeText(at), last: timeText(last) }))]
    })
    return [kept, ...last]
  },
}
