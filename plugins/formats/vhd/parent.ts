/**
 * The names under which a differencing disk's parent is looked for, likeliest first.
 *
 * Virtual Hard Disk Image Format Specification 1.0, "Identification of the Parent Hard Disk Image": a relative path (W2ru), an absolute one
 * (W2ku), the parent's plain name in the header. Only names beside the image are opened, so of an absolute path only its last part is tried,
 * and so it is of a relative one that leads elsewhere: the operator may have put all files into one folder. Whatever is found must have the
 * unique id that the child names, so a wrong guess is never served.
 */
import { limits, type Volume } from "imagelink/plugin"
import { type Header, type Locator, untilNul } from "./header.ts"

/** @throws what the volume's read throws */
export const parentNames = async (volume: Volume, header: Header): Promise<ReadonlyArray<string>> => {
  const relative = await pathsOf(volume, header, "W2ru")
  const absolute = await pathsOf(volume, header, "W2ku")
  const names = [...relative, ...[...relative, ...absolute, slashed(header.parentName)].map(lastPart)]
  return [...new Set(names)].filter((name) => name !== "")
}

const pathsOf = async (volume: Volume, header: Header, code: string): Promise<ReadonlyArray<string>> => {
  const paths: Array<string> = []
  for (const locator of header.locators) if (locator.code === code) paths.push(await pathAt(volume, locator))
  return paths.filter((path) => path !== "")
}

/** UTF-16LE, not always closed by a NUL. A locator that leads nowhere is no path. */
const pathAt = async (volume: Volume, { at, length }: Locator): Promise<string> => {
  const whole = length - (length % 2)
  if (whole === 0 || whole > 2 * limits.siblingNameCharsMax || at + whole > volume.sizeBytes) return ""
  const bytes = Buffer.alloc(whole)
  await volume.read(bytes, 0, at, whole)
  return slashed(untilNul(bytes.toString("utf16le")))
}

const slashed = (path: string): string => path.replaceAll("\\", "/").replace(/^(\.\/)+/, "")
const lastPart = (path: string): string => path.slice(path.lastIndexOf("/") + 1)
