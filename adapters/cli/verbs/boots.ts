/** `imagelink boots`: what clients really got, as a table; with `--follow` a line for each new one. `imagelink client script`: what one would be told. */
import type { BootRow } from "../../../core/projections/boot-history.ts"
import type { CommonOptions } from "../options.ts"
import { type Column, print, printJson, table, time } from "../output.ts"
import { callOptions, withSite } from "../site.ts"
import { log } from "./log.ts"

const columns: ReadonlyArray<Column<BootRow>> = [
  { title: "WHEN", value: (b) => time(b.at) },
  { title: "CLIENT", value: (b) => b.client.name },
  { title: "IMAGE", value: (b) => `${b.image.name}@${b.version}` },
  { title: "OVERLAY", value: (b) => b.overlay },
  { title: "ADDRESS", value: (b) => b.address },
  { title: "BY", value: (b) => b.protocol },
  { title: "FIRMWARE", value: (b) => b.firmware ?? "-" },
  { title: "TOOK", align: "right", value: tookText },
]

/** To the end of its last stage. */
function tookText({ stages }: BootRow): string {
  const last = stages.at(-1)
  return last === undefined ? "-" : `${(last.millis / 1000).toFixed(1)} s`
}

/** As a file that iPXE could load, so without a line of ours. */
export const script = (options: CommonOptions, client: string): Promise<void> =>
  withSite(options, false, async (site) => {
    const answer = await site.call("client.script", { client }, callOptions(options))
    if (options.json) printJson(answer)
    else print(answer.script.trimEnd())
  })

interface BootsOptions extends CommonOptions {
  readonly client?: string
  readonly follow?: boolean
}

export const boots = async (options: BootsOptions): Promise<void> => {
  let position = 0
  await withSite(options, false, async (site) => {
    const input = options.client === undefined ? {} : { client: options.client }
    const rows = await site.call("boots", input, callOptions(options))
    position = rows.at(-1)?.position ?? 0
    if (options.json) for (const row of rows) printJson(row)
    else if (rows.length > 0) print(table(columns, rows))
    else if (!options.follow) print("no boots recorded")
  })
  if (options.follow) await log({ ...options, after: String(position), type: "ClientBooted", follow: true })
}
