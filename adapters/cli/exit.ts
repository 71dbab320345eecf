/** How a command ends: errors on stderr, in words or as JSON, and the exit code of the error's class. */
import { fail, type ImagelinkError, isImagelinkError } from "../../core/errors.ts"
import { limits } from "../../core/limits.ts"

export const asImagelinkError = (e: unknown): ImagelinkError =>
  isImagelinkError(e)
    ? e
    : fail("INTERNAL_ERROR", { what: "imagelink", why: String((e as Error)?.stack ?? e) }, { underlying: e })

export const renderError = (e: ImagelinkError): string =>
  [...shown(e.details), `error: ${e.message} [${e.code}]`, `  cause: ${e.reason}`, `  fix: ${e.fix}`].join("\n")

const shown = (details: ReadonlyArray<string>): ReadonlyArray<string> => {
  const more = details.length - limits.csvErrorsShownMax
  return more <= 0 ? details : [...details.slice(0, limits.csvErrorsShownMax), `… and ${more} more`]
}

export const ignoreBrokenPipe = (stream: NodeJS.WriteStream): void => {
  stream.on("error", (e: NodeJS.ErrnoException) => {
    if (e.code !== "EPIPE") throw e
  })
}

/** Prints the error and sets the exit code; the process ends when nothing is left to do. */
export const exitWith = (e: unknown, argv: ReadonlyArray<string>): void => {
  const error = asImagelinkError(e)
  const text = argv.includes("--json") ? JSON.stringify({ error: error.toJSON() }) : renderError(error)
  ignoreBrokenPipe(process.stderr)
  process.stderr.write(`${text}\n`)
  process.exitCode = error.exit
}
