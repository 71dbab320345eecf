/**
 * The smallest useful storage plugin: a read-only disk of any size that is computed, not stored.
 *
 * Every 512-byte block holds its own offset, as a 64-bit big-endian number repeated 64 times. So any byte that is read proves where
 * it came from, which makes this plugin good for trying things out and for tests. It is also the one to copy: every line below that
 * begins with `//` is a remark for the author of the next plugin.
 */
// The one import: the public door. Node's own modules are fine too; never another plugin, never the rest of the program.
import { check, definePlugin, integer, limits, object, type Volume } from "imagelink/plugin"

const BLOCK = limits.logicalBlockBytes

// What the operator writes as config. Unknown keys, wrong types and wrong numbers are refused before `open` is called.
const config = object({
  sizeBytes: check(integer({ min: BLOCK, max: limits.imageBytesMax }), (size) =>
    size % BLOCK === 0 ? undefined : `must be a multiple of ${BLOCK}, not ${size}`,
  ),
})

// `definePlugin` only fixes the types: a plugin is a plain value, the default export of its module.
export default definePlugin({
  apiVersion: 1,

  // The name in `{ "kind": "example", "config": { … } }`.
  kind: "example",

  // Promises, each of which the conformance suite checks.
  manifest: {
    persistent: true, // the same bytes after a restart
    writable: false, // no `write`, no `folder`
    sparse: false, // no holes to tell: every block holds something (block 0 holds the number 0)
    shared: true, // two openings see the same bytes
    local: true, // no network in between
  },

  config,

  // Called once per opening, with what the schema answered. Real plugins find out here that a file is missing, and how long it is.
  async open({ sizeBytes }): Promise<Volume> {
    return {
      sizeBytes,

      // "Fill into[at, at + length) with the bytes from `offset` on." It never lies outside the volume: the guard saw to that.
      async read(into, at, offset, length) {
        fill(into, at, offset, length)
      },

      // Optional, and only for volumes that never wait: `true` means done. A disk or a network leaves this out.
      readSync(into, at, offset, length) {
        fill(into, at, offset, length)
        return true
      },

      // Optional: what must stay the same while an image is in use. Short strings, compared as they are.
      async identity() {
        return { pattern: "offset-of-block", sizeBytes: String(sizeBytes) }
      },

      // Called once, when no request is in flight. Here there is nothing to let go.
      async close() {},
    }
  },
})

/** Byte `position % 8` of the big-endian number that is the offset of the block around `position`. */
const fill = (into: Uint8Array, at: number, offset: number, length: number): void => {
  for (let i = 0; i < length; i++) {
    const position = offset + i
    const block = position - (position % BLOCK)
    into[at + i] = Math.floor(block / 256 ** (7 - (position % 8)))
  }
}
