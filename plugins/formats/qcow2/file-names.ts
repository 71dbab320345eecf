/**
 * What a qcow2 file calls another file: a plain name, or one of the spellings that qemu has for a local file.
 *
 *     base.raw    /srv/images/base.raw    file:base.raw
 *     json:{"driver":"qcow2","file":{"driver":"file","filename":"base.qcow2"}}      or with dots: "file.filename"
 *
 * **Details** Whatever else has a colon before its first slash is no file name to qemu but a protocol (`nbd:`), and is refused; so is a `json:` that
 * says more than a format and a file, because what it says would be left undone. Whether the file may be opened, core judges.
 */
import type { Refusals } from "./refusals.ts"

export interface FileName {
  readonly name: string
  /** As qemu calls it; a format that the image gives beside the name counts more (block.c, bdrv_open_backing_file). */
  readonly format: string | undefined
}

const JSON_PREFIX = "json:"
const FILE_PREFIX = "file:"

export const fileNameOf = (text: string, refuse: Refusals): FileName => {
  if (text.startsWith(JSON_PREFIX)) return namedInJson(text, refuse)
  const name = text.startsWith(FILE_PREFIX) ? text.slice(FILE_PREFIX.length) : text
  if (/^[^/]*:/.test(name)) throw refuse.dependency(text, "it is not a plain file name but a protocol's")
  return { name, format: undefined }
}

const namedInJson = (text: string, refuse: Refusals): FileName => {
  const no = (why: string) => refuse.dependency(text, `its json: name ${why}`)
  const options = new Map<string, unknown>()
  try {
    flatten(JSON.parse(text.slice(JSON_PREFIX.length)), "", options)
  } catch {
    throw no("is not JSON")
  }
  const take = (key: string): string | undefined => {
    const value = options.get(key)
    options.delete(key)
    if (value !== undefined && typeof value !== "string") throw no(`has no text for ${JSON.stringify(key)}`)
    return value
  }
  const [driver, below, name] = [take("driver"), take("file.driver"), take("file.filename")]
  const [rest] = options.keys()
  if (rest !== undefined) throw no(`asks for ${JSON.stringify(rest)}, which is not known here`)
  if (below !== undefined && below !== "file") throw no(`is not of a file but of ${JSON.stringify(below)}`)
  if (name === undefined || name === "" || driver === "file") throw no("does not name a file and its format")
  return { name, format: driver }
}

/** `{ "a": { "b": 1 } }` is what `{ "a.b": 1 }` is. */
const flatten = (value: unknown, prefix: string, into: Map<string, unknown>): void => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    if (prefix === "" || into.has(prefix)) throw new Error("no option by itself, and none twice")
    into.set(prefix, value)
    return
  }
  for (const [key, inner] of Object.entries(value)) flatten(inner, prefix === "" ? key : `${prefix}.${key}`, into)
}
