/** `imagelink explain`: an error of the list in words, with its cause, its fix, and what to do step by step. */
import { nearest } from "../../../core/domain/nearest.ts"
import { fail } from "../../../core/errors.ts"
import { errorCodes, explain as explained, explainText } from "../../../core/errors-page.ts"
import type { CommonOptions } from "../options.ts"
import { type Column, print, printJson, table } from "../output.ts"

const columns: ReadonlyArray<Column<(typeof errorCodes)[number]>> = [
  { title: "CODE", value: (code) => code },
  { title: "EXIT", align: "right", value: (code) => String(explained(code).exit) },
  { title: "MESSAGE", value: (code) => explained(code).message },
]

export const explain = async (options: CommonOptions, wanted?: string): Promise<void> => {
  if (wanted === undefined) {
    if (options.json) printJson(errorCodes.map(explained))
    else print(table(columns, errorCodes))
    return
  }
  const code = errorCodes.find((c) => c === wanted.toUpperCase())
  if (code === undefined) {
    const near = nearest(wanted, errorCodes)
    const why = `there is no error ${wanted}${near === undefined ? "" : `; the nearest is ${near}`}`
    throw fail("USAGE", { why, see: "imagelink explain" })
  }
  if (options.json) printJson(explained(code))
  else print(explainText(explained(code)))
}
