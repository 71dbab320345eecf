/**
 * The names under which a differencing disk's parent is looked for, likeliest first.
 *
 * Virtual Hard Disk Image Format Specification 1.0, "Identification of the Parent Hard Disk Image": a relative path (W2ru), an absolute one
 * (W2ku), the parent's plain name in the header.
 */
import { limits, parentNames, type Volume } from "imagelink/plugin"
import { type Header, type Locator, untilNul } from "./header.ts"

/** @throws what the volume's read throws */
export const namesOfParent = async (volume: Volume, header: Header): Promise<ReadonlyArray<string>> =>
  parentNames(await pathsOf(volume, header, "W2ru"), [...(await pathsOf(volume, header, "W2ku")), header.parentName])

const pathsOf = async (volume: Volume, header: Header, code: string): Promise<ReadonlyArray<string>> => {
  const paths: Array<string> = []
  for (const locator of header.locators) if (locator.code === code) paths.push(await pathAt(volume, locator))
  return paths
}

/** UTF-16LE, not always closed by a NUL. A locator that leads nowhere is no path. */
const pathAt = async (volume: Volume, { at, length }: Locator): Promise<string> => {
  const whole = length - (length % 2)
  if (whole === 0 || whole > 2 * limits.siblingNameCharsMax || at + whole > volume.sizeBytes) return ""
  const bytes = Buffer.alloc(whole)
  await volume.read(bytes, 0, at, whole)
  return untilNul(bytes.toString("utf16le"))
}
