/** `imagelink repair`: mends what the data folder itself can mend, and says what it cannot. */
import { fail } from "../../../core/errors.ts"
import type { RepairRow } from "../../../core/runtime/repair.ts"
import type { CommonOptions } from "../options.ts"
import { type Column, print, printJson, table } from "../output.ts"
import { actor, dataDir, runningSite } from "../site.ts"

const columns: ReadonlyArray<Column<RepairRow>> = [
  { title: "PART", value: (r) => r.part },
  { title: "STATE", value: (r) => r.state },
  { title: "WHAT", value: (r) => r.detail },
  { title: "HOW", value: (r) => r.remedy },
]

export const repair = async (options: CommonOptions & { acceptLoss?: boolean }): Promise<void> => {
  const dir = dataDir(options)
  const server = await runningSite(dir)
  await server?.close()
  if (server !== undefined) throw fail("DATA_IN_USE", { path: dir, holder: "a running server" })
  const { repairData } = await import("../../compose.ts")
  const { dryRun = false, acceptLoss = false } = options
  const rows = await repairData({ dataDir: dir, dryRun, acceptLoss, actor: actor() })
  if (options.json) printJson(rows)
  else print(table(columns, rows))
  const lost = rows.filter((r) => r.state === "lost").map((r) => r.part)
  if (lost.length > 0) throw fail("REPAIR_INCOMPLETE", { lost: lost.join(", ") })
}
