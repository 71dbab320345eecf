/** Ways to look at a volume that every check uses. */
import assert from "node:assert/strict"
import { type ErrorCode, isImagelinkError } from "../../../core/errors.ts"
import { type GuardedVolume, guardVolume } from "../../../core/storage/guard.ts"
import type { Volume } from "../../../core/storage/volume.ts"

/** Reads a range into a buffer of its own. */
export const readRange = async (volume: Pick<Volume, "read">, offset: number, length: number): Promise<Uint8Array> => {
  const into = new Uint8Array(length)
  await volume.read(into, 0, offset, length)
  return into
}

export const guarded = (volume: Volume, kind: string): GuardedVolume =>
  guardVolume(volume, { kind, path: "the sample" })

/** Asserts that something is refused with one of our codes. */
export const refusedWith = async (code: ErrorCode, what: string, ask: () => Promise<unknown>): Promise<void> => {
  const thrown = await ask().then(
    () => assert.fail(`${what}: was not refused, expected ${code}`),
    (error: unknown) => error,
  )
  if (thrown instanceof assert.AssertionError) throw thrown
  assert.ok(isImagelinkError(thrown), `${what}: threw ${String(thrown)}, expected ${code}`)
  assert.equal(thrown.code, code, `${what}: ${thrown.message}`)
}

/** Waits for a promise either way. */
export const settle = async (asked: Promise<unknown>): Promise<{ readonly error?: unknown }> =>
  asked.then(
    () => ({}),
    (error: unknown) => ({ error }),
  )

/** Lets everything that is already under way take a few turns of the event loop. */
export const someTurns = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
}
