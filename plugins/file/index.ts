/**
 * Local files: images served in place, and the folders that overlays are written to.
 *
 *     { "kind": "file", "config": { "path": "/srv/images/win11.raw" } }
 *
 * **Details** `open` is for images. It opens read-only, whatever the file's permissions are, and asks Linux not to touch the access time, so
 * that serving an image changes nothing about it. A cold page would stop the whole server for milliseconds, so its volumes have `readSync` only
 * where the host can tell what is in the page cache (core/decisions/025). `folder` is for overlays, whose volumes always have it, because an overlay knows
 * which of its bytes were written a moment ago.
 */
import { dirname, isAbsolute, join } from "node:path"
import { check, definePlugin, object, string } from "imagelink/plugin"
import { fileFolder } from "./folder.ts"
import { openImage } from "./image.ts"
import { relativeName } from "./relative.ts"

const config = object({
  path: check(string({ min: 1 }), (path) => {
    if (path.includes("\0")) return "must not contain a NUL character"
    return isAbsolute(path) ? undefined : "must be an absolute path"
  }),
})

export default definePlugin({
  apiVersion: 1,
  kind: "file",
  // `sparse` is false because Node alone cannot find holes; with a host that can (Host.nextData) the volumes tell them all the same.
  manifest: { persistent: true, writable: true, sparse: false, shared: true, local: true },
  config,
  open: ({ path }, { signal, host }) => openImage(path, host, signal),
  sibling: ({ path }, relative) => ({ path: join(dirname(path), relative) }),
  relative: ({ path }, absolute) => relativeName(dirname(path), absolute),
  folder: ({ path }, { host }) => fileFolder(path, host),
})
