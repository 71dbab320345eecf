/** Writes core/ERRORS.md anew from the list of errors: `node --conditions=source specs/errors/write-page.ts`. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { errorsPage } from "../../core/errors-page.ts"

writeFileSync(join(import.meta.dirname, "../../core/ERRORS.md"), errorsPage())
