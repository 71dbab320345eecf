/**
 * The descriptor: the text that names a disk's extents and its parent.
 *
 * Virtual Disk Format 5.0, "The Descriptor File".
 *
 *      # Disk DescriptorFile
 *      version=1
 *      CID=7b8cbaf2
 *      parentCID=ffffffff
 *      createType="twoGbMaxExtentFlat"
 *      # Extent description
 *      RW 4192256 FLAT "disk-f001.vmdk" 0
 */
import type { Refusal } from "./header.ts"

const NO_PARENT = "ffffffff"
const SECTOR = 512

export interface ExtentLine {
  readonly kind: "sparse" | "flat" | "zero"
  readonly sizeBytes: number
  /** Empty for `zero`. */
  readonly name: string
  /** Where in that file it begins. */
  readonly at: number
}

export interface Descriptor {
  /** Of the content: changes with the first write after opening. Lower case hex. */
  readonly contentId: string
  readonly parent?: { readonly contentId: string; readonly hint: string }
  readonly extents: ReadonlyArray<ExtentLine>
}

const START = /^\s*#\s*disk\s+descriptorfile/i
/** As some programs write it, without that line: comments, then a version, and a kind of disk further on. */
const BARE_START = /^(?:[^\S\n]*#[^\n]*\n|[^\S\n]*\n)*[^\S\n]*version[^\S\n]*=[^\S\n]*\d/i
const CREATE_TYPE = /^[^\S\n]*createtype[^\S\n]*=/im

/** Whether a file begins as a descriptor, as far as a probe goes. */
export const isDescriptor = (head: Uint8Array): boolean => {
  const text = Buffer.from(head)
    .toString("latin1")
    .replace(/^\xef\xbb\xbf/, "")
  return START.test(text) || (BARE_START.test(text) && CREATE_TYPE.test(text))
}

export const decodeDescriptor = (bytes: Uint8Array): Descriptor | Refusal => {
  const values = new Map<string, string>()
  const extents: Array<ExtentLine> = []
  for (const line of linesOf(bytes)) {
    const extent = EXTENT.exec(line)
    if (extent !== null) {
      const decoded = decodeExtent(extent)
      if ("kind" in decoded) extents.push(decoded)
      else return decoded
      continue
    }
    const pair = /^([A-Za-z]\w*)\s*=\s*(?:"(.*)"|(.*?))$/.exec(line)
    if (pair !== null) values.set(pair[1]!.toLowerCase(), pair[2] ?? pair[3] ?? "")
  }
  const version = values.get("version") ?? ""
  if (!/^[1-4]$/.test(version))
    return { unknown: `its descriptor is of version ${JSON.stringify(version.slice(0, 20))}` }
  if (extents.length === 0) return { damaged: "its descriptor names no extent" }
  const contentId = hex(values.get("cid"))
  const parentId = hex(values.get("parentcid") ?? NO_PARENT)
  if (parentId === NO_PARENT) return { contentId, extents }
  return { contentId, extents, parent: { contentId: parentId, hint: values.get("parentfilenamehint") ?? "" } }
}

/** access, sectors, type, name, place; `VMFS` is `FLAT` on another file system. */
const EXTENT = /^(RW|RDONLY|NOACCESS)\s+(\d+)\s+(\w+)(?:\s+"([^"]*)"(?:\s+(\d+))?)?/i
const kinds: Readonly<Record<string, ExtentLine["kind"]>> = {
  SPARSE: "sparse",
  FLAT: "flat",
  VMFS: "flat",
  ZERO: "zero",
}

const decodeExtent = (found: RegExpExecArray): ExtentLine | Refusal => {
  const [, access, sectors, type, name = "", at = "0"] = found
  if (access!.toUpperCase() === "NOACCESS") return { unknown: "one of its extents may not be read (NOACCESS)" }
  const kind = kinds[type!.toUpperCase()]
  if (kind === undefined) return { unknown: `it has an extent of the kind ${type!.slice(0, 20)}` }
  if (kind !== "zero" && name === "") return { damaged: "its descriptor names an extent without a file" }
  return { kind, sizeBytes: Number(sectors) * SECTOR, name, at: Number(at) * SECTOR }
}

/** Numbers without leading zeros, as different writers write them. */
const hex = (text: string | undefined): string => (text ?? "").toLowerCase().replace(/^(0x)?0*(?=.)/, "")

/** Up to the first NUL: an embedded descriptor is filled up with them. UTF-8 where it can be, else one byte a character. */
const linesOf = (bytes: Uint8Array): ReadonlyArray<string> => {
  const end = bytes.indexOf(0)
  const whole = end < 0 ? bytes : bytes.subarray(0, end)
  let text: string
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(whole)
  } catch {
    text = Buffer.from(whole).toString("latin1")
  }
  return text.split(/\r\n|\n|\r/).map((line) => line.trim())
}
