/** The settings: they hold together, as `imagelink config check` would say. */
import type { Check } from "../check.ts"
import { failed, pass } from "../finding.ts"

export const settings: Check = {
  name: "settings",
  side: "server",
  run: async ({ configError, said }) => {
    if (configError !== undefined) return [failed("settings", configError)]
    return [pass("settings", said.size === 0 ? "all by default" : `${said.size} set, no error`)]
  },
}
