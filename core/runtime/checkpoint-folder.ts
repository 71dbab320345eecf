/**
 * Checkpoints as files in a folder: the newest of each projection as it is, those along the log packed.
 *
 * **Details** The newest is read at every start and stays plain; there are many along the log, and JSON packs to a tenth (gzip, RFC 1952).
 * Which one a file is, its first two bytes say.
 */
import { promisify } from "node:util"
import * as Effect from "effect/Effect"
import { fail, type ImagelinkError, isImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"
import { isMarkName, type MarkStore } from "../projections/marks.ts"
import type { VolumeFolder } from "../storage/volume.ts"

const suffix = ".checkpoint"

export const checkpointFolder = (folder: VolumeFolder): MarkStore => {
  const error = (e: unknown): ImagelinkError =>
    isImagelinkError(e) ? e : fail("IO_ERROR", { what: folder.path, why: (e as Error).message }, { underlying: e })
  const run = <A>(ask: () => Promise<A>) => Effect.tryPromise({ try: ask, catch: error })
  return {
    load: (name) => run(async () => unpacked(await folder.readFile(name + suffix))),
    save: (name, bytes) =>
      run(async () => folder.replaceFile(name + suffix, isMarkName(name) ? await packed(bytes) : bytes)),
    list: () =>
      run(async () => (await folder.list()).flatMap((f) => (f.endsWith(suffix) ? [f.slice(0, -suffix.length)] : []))),
    remove: (name) => run(() => folder.remove(name + suffix)),
  }
}

/** Loaded only where there is something to pack: most commands are too short for it. */
const zlib = () => process.getBuiltinModule("node:zlib")

const packed = (bytes: Uint8Array): Promise<Uint8Array> => {
  const { gzip } = zlib()
  return promisify(gzip)(bytes, { level: 1 })
}

const unpacked = async (bytes: Uint8Array | undefined): Promise<Uint8Array | undefined> => {
  if (bytes === undefined || bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes
  const { gunzip } = zlib()
  return promisify(gunzip)(bytes, { maxOutputLength: limits.checkpointBytesMax })
}
