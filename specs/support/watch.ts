/** Who takes no note of boots and sessions. */
import type { BootWatch } from "../../core/runtime/boot-signs.ts"

export const watchNobody: BootWatch = { began: () => {}, joined: () => ({ firstRead: undefined, left: () => {} }) }
