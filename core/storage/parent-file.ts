/**
 * Finds a parent among the names that its child gives for it, as Windows and VMware write them.
 *
 * **Details** Only names beside the image are opened, so of an absolute path its last part is tried, and so it is of a relative one that leads
 * elsewhere: the operator may have put all files into one folder. What is found must still prove that it is the parent, by the id that the
 * child names; a wrong guess is never served.
 */
import { isImagelinkError } from "../errors.ts"
import type { FormatContext } from "./format.ts"
import type { Volume } from "./volume.ts"

/** The names to try, likeliest first, for paths in which both slashes separate. */
export const parentNames = (
  relative: ReadonlyArray<string>,
  absolute: ReadonlyArray<string>,
): ReadonlyArray<string> => {
  const beside = relative.map(slashed)
  const names = [...beside, ...[...beside, ...absolute.map(slashed)].map(lastPart)]
  return [...new Set(names)].filter((name) => name !== "")
}

const slashed = (path: string): string => path.replaceAll("\\", "/").replace(/^(\.\/)+/, "")
const lastPart = (path: string): string => path.slice(path.lastIndexOf("/") + 1)

/**
 * Opens the first of these names that is there. `child` is the name of the file that gives them: they are relative to where it is.
 * Answers undefined when there are none. @throws the first refusal when none can be opened
 */
export const openParentFile = async (
  context: FormatContext,
  child: string,
  names: ReadonlyArray<string>,
): Promise<{ readonly name: string; readonly volume: Volume } | undefined> => {
  const folder = child === context.path ? "" : child.slice(0, child.lastIndexOf("/") + 1)
  let first: unknown
  for (const beside of names) {
    const name = folder + beside
    try {
      return { name, volume: await context.sibling(name) }
    } catch (thrown) {
      first ??= thrown
      if (!isAbsent(thrown)) throw thrown
    }
  }
  if (first !== undefined) throw first
  return undefined
}

/** Not there under this name: the next may be the one. */
const isAbsent = (thrown: unknown): boolean =>
  isImagelinkError(thrown) && (thrown.code === "IMAGE_FILE_NOT_FOUND" || thrown.code === "IMAGE_DEPENDENCY_REFUSED")
