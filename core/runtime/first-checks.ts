/** Reads the versions that nobody has read yet, one after the other, while the server serves. */
import { isImagelinkError } from "../errors.ts"
import type { Actor } from "../log/event-log.ts"
import { makeChange } from "./operations/change.ts"
import { runCheck, unverified } from "./operations/images.ts"
import type { Parts } from "./parts.ts"

/** What happened is told to `report`; an image that cannot be read now is tried again at the next start. */
export const checkUnverified = async (
  parts: Parts,
  actor: Actor,
  report: (level: "info" | "error", text: string) => void,
): Promise<void> => {
  const change = makeChange(parts)
  const said = (e: unknown) =>
    isImagelinkError(e) ? `${e.message} [${e.code}]; ${e.reason}; fix: ${e.fix}` : String(e)
  const checkOne = async (imageId: string, version: number): Promise<void> => {
    const { image, result, clusters } = await runCheck(parts, change, imageId, version, { actor })
    report("info", `checked ${image}@${version}: ${result}, ${clusters} clusters`)
  }
  try {
    for (const { imageId, version } of await unverified(parts))
      await checkOne(imageId, version).catch((e: unknown) => {
        if (isStopping(e)) throw e
        // It was removed while it waited for its turn, or while it was read.
        if (isImagelinkError(e) && e.code === "IMAGE_NOT_FOUND") return
        report("error", said(e))
      })
  } catch (e) {
    if (!isStopping(e)) report("error", said(e))
  }
}

/** The server is being stopped; nothing went wrong. */
const isStopping = (e: unknown): boolean => isImagelinkError(e) && (e.code === "CANCELLED" || e.code === "CLOSED")
