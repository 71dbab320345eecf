/**
 * What an auditor asks: the log's key, its checkpoint, proofs, and whether everything still holds.
 *
 * **Details** Checkpoint and proofs publish what is there first; verifying only reads. A proof is checked here before it is given away.
 */
import * as Effect from "effect/Effect"
import { fail, isImagelinkError } from "../../errors.ts"
import { leafHash } from "../../log/merkle/hash.ts"
import { proveConsistency, proveInclusion } from "../../log/merkle/prove.ts"
import { verifyConsistency, verifyInclusion } from "../../log/merkle/verify.ts"
import { openCheckpoint } from "../../log/tiles/checkpoint.ts"
import { verifierKey } from "../../log/tiles/note.ts"
import { encodeProof } from "../../log/tiles/proof.ts"
import type { Publisher } from "../../log/tiles/publisher.ts"
import { tileHashes } from "../../log/tiles/tile-hashes.ts"
import { verifyLog } from "../../log/tiles/verify-log.ts"
import type { Parts } from "../parts.ts"
import type { Operations } from "../site.ts"

type Names = "audit.key" | "audit.checkpoint" | "audit.verify" | "audit.prove" | "audit.consistency" | "audit.export"

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64")

export const auditOperations = ({ log, publisher, jobs }: Parts): Operations<Names> => ({
  "audit.key": async () => ({ key: verifierKey(log.site) }),

  "audit.checkpoint": async () => {
    const { note, size, root } = await (await publisher()).publish()
    return { note, size, root: base64(root) }
  },

  "audit.verify": async (_, { signal, onProgress }) => {
    const { files, ...published } = await openForReading(await publisher())
    const verified = await verifyLog({
      log,
      files,
      ...published,
      ...(signal === undefined ? {} : { signal }),
      onProgress: (done, total) => onProgress?.({ done, total, unit: "items" }),
    })
    return {
      key: verifierKey(log.site),
      size: verified.size,
      published: verified.published,
      root: base64(verified.root),
    }
  },

  "audit.prove": async ({ position }) => {
    const tlog = await publisher()
    const { note, size, root } = await tlog.publish()
    if (position < 1 || position > size) throw fail("POSITION_NOT_FOUND", { position, head: size })
    const [event] = await Effect.runPromise(log.pageBytes(position - 1, 1))
    const { bytes } = event!
    const path = proveInclusion(tileHashes(tlog.files, size), position - 1, size)
    if (!verifyInclusion(leafHash(bytes), position - 1, size, path, root)) throw disagrees(position)
    return { proof: encodeProof(bytes, position - 1, path, note), size }
  },

  "audit.consistency": async ({ note, file }) => {
    const old = openCheckpoint(note, log.site)
    if ("refused" in old) throw fail("NOTE_REFUSED", { file, why: old.refused })
    const head = log.head()
    if (old.size > head) {
      const why = `${file} is a checkpoint of ${old.size} events, and the log has ${head}: the rest was cut off`
      throw fail("AUDIT_FAILED", { position: head + 1, why })
    }
    const tlog = await publisher()
    const now = await tlog.publish()
    const proof = proveConsistency(tileHashes(tlog.files, now.size), old.size, now.size)
    if (!verifyConsistency(old, now, proof)) {
      const why = `the first ${old.size} events are not those of the checkpoint in ${file}; 'imagelink audit verify' says whether tiles or events were changed`
      throw fail("AUDIT_FAILED", { why })
    }
    return { from: old.size, to: now.size, root: base64(now.root), proof: proof.map(base64) }
  },

  "audit.export": async ({ path, force }, options) => {
    const tlog = await publisher()
    const published = await tlog.publish()
    const { host } = tlog.options
    const { exportArchive } = await import("../../log/archive/export.ts")
    const sizeBytes = await jobs.run(
      "audit export",
      ({ signal, progress }) => {
        const onProgress = (done: number, total: number) => progress({ done, total, unit: "items" })
        return exportArchive({ log, published, path, force: force === true, signal, onProgress, ...(host && { host }) })
      },
      options,
    )
    return { path, sizeBytes, size: published.size, root: base64(published.root) }
  },
})

const disagrees = (position: number) =>
  fail("AUDIT_FAILED", {
    position,
    why: "event and tiles do not give the root of the checkpoint; see 'imagelink audit verify'",
  })

/** What was published, as it is on disk; a checkpoint that is none fails the audit. */
const openForReading = async (tlog: Publisher) => {
  try {
    return { files: tlog.files, checkpoint: tlog.published() }
  } catch (e) {
    if (!isImagelinkError(e) || e.code !== "LOG_FORKED") throw e
    throw fail("AUDIT_FAILED", { why: e.reason }, { underlying: e })
  }
}
