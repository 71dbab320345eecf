/** An entry of the list of errors: its exit code and its words, made from what the error is told. */
export interface Entry<P> {
  readonly exit: 1 | 2 | 3 | 4
  readonly message: (p: P) => string
  readonly cause: (p: P) => string
  readonly fix: (p: P) => string
}

export const entry = <P>(e: Entry<P>): Entry<P> => e

/** A place on a disk, where an error knows one. */
export interface Range {
  readonly offset?: number
  readonly length?: number
  readonly what?: string
}
export const at = (p: Range): string =>
  p.offset === undefined ? "" : ` at byte ${p.offset}${p.length === undefined ? "" : ` (+${p.length})`}`
