/**
 * What every scheme brings: the size and validator of the object, and one range of it, asked for once.
 *
 * **Details** A source tries once. It throws `Transient` for what may be gone the next time (a lost connection, a server that is busy), and an error of
 * the closed list for what will not. Asking again, backing off and giving up is patience.ts's, the same for every scheme.
 */
export interface Described {
  readonly sizeBytes: number
  /** Another one means other bytes. Undefined where the scheme has none. */
  readonly validator: Validator | undefined
}

export interface Validator {
  readonly kind: "etag" | "modified"
  readonly text: string
}

/** A range on its way into `into`, which is as long as the range. */
export interface Want {
  readonly offset: number
  readonly into: Uint8Array
  /** Bytes at the start of `into` that are there already; a source begins after them and counts them up. */
  done: number
  /** Told whenever `done` has grown. */
  arrived(): void
}

export interface Source {
  /** For messages; without anything secret. */
  readonly url: string
  /** @throws Transient IMAGE_FILE_NOT_FOUND REMOTE_REFUSED */
  describe(signal: AbortSignal): Promise<Described>
  /** @throws Transient IMAGE_FILE_NOT_FOUND REMOTE_CHANGED REMOTE_REFUSED */
  read(want: Want, expected: Described, signal: AbortSignal): Promise<void>
  close(): Promise<void>
}

/** A failure that asking again may mend. */
export class Transient extends Error {
  override readonly name = "Transient"
  /** What the server asked for, if it did. */
  readonly waitMillis: number | undefined
  /** Nothing is wrong with the server: an idle connection was closed just as it was used again. */
  readonly atOnce: boolean

  constructor(why: string, options: { readonly waitMillis?: number | undefined; readonly atOnce?: boolean } = {}) {
    super(why)
    this.waitMillis = options.waitMillis
    this.atOnce = options.atOnce ?? false
  }
}

export const sameObject = (a: Described, b: Described): boolean =>
  a.sizeBytes === b.sizeBytes && a.validator?.kind === b.validator?.kind && a.validator?.text === b.validator?.text
