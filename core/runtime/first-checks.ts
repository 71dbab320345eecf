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
  for (const { imageId, version } of await unverified(parts)) {
    try {
      const { image, result, clusters } = await runCheck(parts, change, imageId, version, { actor })
      report("info", `checked ${image}@${version}: ${result}, ${clusters} clusters`)
    } catch (e) {
      if (isImagelinkError(e) && (e.code === "CANCELLED" || e.code === "CLOSED")) return
      report("error", isImagelinkError(e) ? `${e.message}; ${e.reason}; fix: ${e.fix}` : String(e))
    }
  }
}
