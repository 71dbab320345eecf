/**
 * The names under which a differencing disk's parent is looked for, likeliest first.
 *
 * Virtual Hard Disk Image Format Specification 1.0, "Identification of the Parent Hard Disk Image": a relative path (W2ru), an absolute one
 * (W2ku), a URL (MacX), the parent's plain name in the header.
 */
import { limits, parentNames, type Volume } from "imagelink/plugin"
import { type Header, type Locator, untilNul } from "./header.ts"

/** @throws what the volume's read throws */
export const namesOfParent = async (volume: Volume, header: Header): Promise<ReadonlyArray<string>> => {
  const windows = (code: string) => pathsOf(volume, header, code, (bytes) => bytes.toString("utf16le"))
  const urls = await pathsOf(volume, header, "MacX", (bytes) => pathIn(bytes.toString("utf8")))
  return parentNames([...(await windows("W2ru")), ...urls], [...(await windows("W2ku")), header.parentName])
}

const pathsOf = async (
  volume: Volume,
  header: Header,
  code: string,
  decode: (bytes: Buffer) => string,
): Promise<ReadonlyArray<string>> => {
  const paths: Array<string> = []
  for (const locator of header.locators)
    if (locator.code === code) paths.push(untilNul(decode(await bytesAt(volume, locator))))
  return paths
}

/** A text may be closed by a NUL, or not. A locator that leads nowhere is no path. */
const bytesAt = async (volume: Volume, { at, length }: Locator): Promise<Buffer> => {
  const bytes = Buffer.alloc(length > 2 * limits.siblingNameCharsMax || at + length > volume.sizeBytes ? 0 : length)
  if (bytes.length > 0) await volume.read(bytes, 0, at, bytes.length)
  return bytes
}

/** XenServer writes `file://./parent.vhd`. */
const pathIn = (url: string): string => {
  const path = untilNul(url).replace(/^file:\/\//, "")
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}
