/** The name of a restored log: the old one's with an ending of its own, `lab.example` → `lab.example-r1f2e3d4c`. */
import { fail } from "../../errors.ts"
import { limits } from "../../limits.ts"
import { isSiteName } from "../../log/store-files.ts"

export const randomBytes = 4

/** An ending from an earlier restore is replaced, so that names do not grow. */
export const derivedName = (old: string, random: Uint8Array): string => {
  const ending = `-r${Buffer.from(random).toString("hex")}`
  return old.replace(/-r[0-9a-f]{8}$/, "").slice(0, limits.siteNameBytesMax - ending.length) + ending
}

/** @throws SITE_NAME_INVALID RESTORE_REFUSED */
export const checkedName = (path: string, old: string, asked: string): string => {
  if (!isSiteName(asked)) throw fail("SITE_NAME_INVALID", { name: asked })
  if (asked !== old) return asked
  const why = `${old} is the name of the log in the backup; a restored log goes its own way, under a name of its own`
  throw fail("RESTORE_REFUSED", { path, why })
}
