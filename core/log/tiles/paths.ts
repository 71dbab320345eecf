/**
 * Where a tile and an entry bundle are, as C2SP tlog-tiles names them ("Merkle Tree", "Partial Tiles", "Log entries").
 *
 *     tile/<L>/<N>[.p/<W>]        256 hashes, or the W there are so far, of level L
 *     tile/entries/<N>[.p/<W>]    the entries under the tile of level 0 with the same N and W
 *
 * N is written in groups of three digits, all but the last behind an `x`: 1234067 is `x001/x234/067`.
 */
export const tileWidth = 256

/** A tile's place; `width` below 256 is a partial tile. Level "entries" is an entry bundle. */
export interface TilePlace {
  readonly level: number | "entries"
  readonly index: number
  readonly width: number
}

const indexPath = (index: number): string => {
  const digits = String(index)
  const padded = digits.padStart(Math.ceil(digits.length / 3) * 3, "0")
  return padded
    .match(/.../g)!
    .map((group, i, all) => (i === all.length - 1 ? group : `x${group}`))
    .join("/")
}

export const tilePath = ({ level, index, width }: TilePlace): string =>
  `${tileFolder(level)}/${indexPath(index)}${width === tileWidth ? "" : `.p/${width}`}`

export const tileFolder = (level: number | "entries"): string => `tile/${level}`

/** How many entries the tree has at least, when this tile of level 0 is in it; undefined for a path that is no tile's. */
export const entriesUpTo = (pathInFolder: string): number | undefined => {
  const parts = /^((?:x\d{3}\/)*\d{3})(?:\.p\/([1-9]\d{0,2}))?$/.exec(pathInFolder)
  if (parts === null) return undefined
  const index = Number(parts[1]!.replaceAll(/[x/]/g, ""))
  return index * tileWidth + (parts[2] === undefined ? tileWidth : Number(parts[2]))
}

/** Where the rightmost tile of `level` is in a tree of `size`: how many are full, and how many hashes follow them. */
export const rightmost = (level: number, size: number): { readonly full: number; readonly width: number } => {
  const hashes = Math.floor(size / tileWidth ** level)
  return { full: Math.floor(hashes / tileWidth), width: hashes % tileWidth }
}
