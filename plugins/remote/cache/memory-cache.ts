/** The cache of an image where there is no folder: the blocks used last, within a budget. */
import { limits } from "imagelink/plugin"
import { copyBlock } from "../copy-block.ts"
import type { BlockCache } from "./block-cache.ts"

const BLOCK = limits.remoteBlockBytes

export const memoryCache = (bytesMax: number = limits.remoteMemoryBytes): BlockCache => {
  /** In order of use. */
  const blocks = new Map<string, Uint8Array>()
  let held = 0
  const keyOf = (object: string, block: number) => `${object}/${block}`
  const drop = (key: string): void => {
    held -= blocks.get(key)?.length ?? 0
    blocks.delete(key)
  }
  return {
    has: (object, block) => blocks.has(keyOf(object, block)),
    read(object, offset, into, at, length) {
      const [first, end] = [Math.floor(offset / BLOCK), Math.ceil((offset + length) / BLOCK)]
      for (let block = first; block < end; block++) if (!blocks.has(keyOf(object, block))) return undefined
      for (let block = first; block < end; block++) {
        const key = keyOf(object, block)
        const bytes = blocks.get(key)!
        blocks.delete(key)
        blocks.set(key, bytes)
        copyBlock(bytes, block, into, at, offset, length)
      }
      return Promise.resolve(true)
    },
    async put(object, block, bytes) {
      const key = keyOf(object, block)
      drop(key)
      blocks.set(key, bytes.slice())
      held += bytes.length
      for (const oldest of blocks.keys()) {
        if (held <= bytesMax) break
        drop(oldest)
      }
    },
    forget(object) {
      for (const key of [...blocks.keys()]) if (key.startsWith(`${object}/`)) drop(key)
    },
  }
}
