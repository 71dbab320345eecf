/** Why a qcow2 file is refused when it is opened, in errors that name the file. */
import { fail, type ImagelinkError } from "imagelink/plugin"

export interface Refusals {
  /** What stands in the file cannot be. */
  damaged(why: string): ImagelinkError
  /** It may well be right, but is not served. */
  unsupported(why: string): ImagelinkError
  dependency(needs: string, why: string): ImagelinkError
}

export const refusalsOf = (path: string): Refusals => ({
  damaged: (why) => fail("IMAGE_DAMAGED", { path, format: "qcow2", why }),
  unsupported: (why) => fail("IMAGE_FORMAT_UNSUPPORTED", { path, format: "qcow2", why }),
  dependency: (needs, why) => fail("IMAGE_DEPENDENCY_REFUSED", { path, needs, why }),
})
