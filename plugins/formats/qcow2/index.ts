/**
 * The qcow2 format, versions 2 and 3: served in place, and written as the layer that seals an overlay.
 *
 * **Details** By the specification in qemu's docs/interop/qcow2.rst, whose sections are named where they are used. Everything that stands in the
 * file was chosen by whoever made it: each number is judged before it is followed (open.ts, entry.ts), and read-only means that
 * refcounts, snapshots and bitmaps are not looked at.
 */
import { defineFormat } from "imagelink/plugin"
import { u32 } from "./bytes.ts"
import { flatLayer } from "./flat.ts"
import { MAGIC } from "./header.ts"
import { openQcow2 } from "./open.ts"
import { sealLayer } from "./seal.ts"
import { openTables } from "./tables.ts"

export default defineFormat({
  apiVersion: 1,
  format: "qcow2",
  // Of any version: opening names the ones that are not read.
  probe: ({ head }) => ({ match: head.length >= 4 && u32(head, 0) === MAGIC ? "magic" : "no" }),
  open: openQcow2,
  map: openTables,
  seal: sealLayer,
  flat: flatLayer,
})
