/** Closes several things in order, all of them even when one fails: what a plugin cannot close keeps nothing else open. */

/** @throws the first error, once everything was asked to close */
export const closeEach = async (closers: ReadonlyArray<() => Promise<void>>): Promise<void> => {
  let failed: { readonly error: unknown } | undefined
  for (const close of closers)
    try {
      await close()
    } catch (error) {
      failed ??= { error }
    }
  if (failed !== undefined) throw failed.error
}
