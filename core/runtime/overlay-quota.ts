/**
 * How much each client may write over its image: the site's setting, or the boot option `overlay-quota` of a client or a group.
 *
 * **Details** It holds for an overlay from when it is opened until it is closed. Super clients have none: their work is kept, and the reserve
 * (overlay-reserve.ts) is theirs. An option that is no size counts as if it were not there, and is told.
 */
import type { GenerationPolicy } from "../block/overlay/header.ts"
import type { QuotaUse } from "../block/overlay/quota.ts"
import type { Catalogue } from "../domain/catalogue.ts"
import { effectiveOptions } from "../domain/group-links.ts"
import { parseBytes, sizeText } from "./sizes.ts"

export const QUOTA_OPTION = "overlay-quota"

interface ClientSlot {
  readonly clientId: string
  readonly clientName: string
  readonly slot: number
}

export interface OverlayQuota {
  /** Undefined: none. */
  bytesFor(at: ClientSlot, policy: GenerationPolicy): number | undefined
  /** 80 % of it are used. */
  warn(at: ClientSlot, use: QuotaUse): void
}

export interface OverlayQuotaOptions {
  readonly catalogue: () => Catalogue
  /** For everybody without an option of their own; undefined: none. */
  readonly bytes: () => number | undefined
  readonly onWarning: (text: string) => void
}

export const makeOverlayQuota = ({ catalogue, bytes, onWarning }: OverlayQuotaOptions): OverlayQuota => ({
  bytesFor({ clientId, clientName }, policy) {
    if (policy === "super") return undefined
    const client = catalogue().clients.get(clientId)
    const options = client === undefined ? [] : effectiveOptions(catalogue(), client)
    const said = options.find(({ key }) => key === QUOTA_OPTION)?.value
    if (said === undefined) return bytes()
    const own = parseBytes(said)
    if (own === undefined)
      onWarning(`${clientName}: its option ${QUOTA_OPTION}=${said} is no size like 20G; it is not heeded`)
    return own ?? bytes()
  },
  warn({ clientName, slot }, { usedBytes, quotaBytes }) {
    onWarning(
      `${clientName} slot ${slot} has written ${sizeText(usedBytes)} of the ${sizeText(quotaBytes)} that it may [NO_SPACE from there on]; ` +
        `fix: imagelink client reset ${clientName}, or a larger ${QUOTA_OPTION}`,
    )
  },
})
