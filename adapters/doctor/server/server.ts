/** The running server: it answers, and says where it listens. Without one, the client's side cannot be tried. */
import type { Check } from "../check.ts"
import { failed, pass, skip } from "../finding.ts"

export const server: Check = {
  name: "server",
  side: "server",
  async run({ running, runningError }) {
    // What this user lacks for it, the check of the data folder says.
    if (runningError?.code === "DATA_ACCESS_DENIED") return [skip("server", "one runs, and this user may not ask it")]
    if (runningError !== undefined) return [failed("server", runningError)]
    if (running === undefined) return [skip("server", "none runs on this data folder")]
    const process = running.pid === undefined ? "" : `, process ${running.pid}`
    return [pass("server", `imagelink ${running.version} answers${process}`)]
  },
}
