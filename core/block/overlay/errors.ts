/** Turns what an overlay's own volumes throw into block errors that carry the disk's offset, not the file's. */
import { fail, type ImagelinkError, isImagelinkError } from "../../errors.ts"

export const volumeError = (e: unknown, offset: number, length: number, what: string): ImagelinkError => {
  const code = (e as { code?: unknown } | null)?.code
  const more = { underlying: e }
  if (code === "ENOSPC" || code === "EDQUOT" || code === "NO_SPACE") {
    return fail("NO_SPACE", { offset, length, what }, more)
  }
  if (isImagelinkError(e) && e.code !== "IO_ERROR" && e.code !== "MEDIUM_ERROR") return e
  const why = isImagelinkError(e) ? e.reason : e instanceof Error ? e.message : String(e)
  return fail("IO_ERROR", { offset, length, what, why }, more)
}
