/** Which version a scrub reads next: the one whose last check is oldest, once that is long enough ago. */
import { compareNatural } from "../../domain/natural.ts"
import type { ImageRow, VersionRow } from "../../projections/image-versions.ts"

export interface Candidate {
  readonly imageId: string
  readonly imageName: string
  readonly version: VersionRow
  readonly dueAt: number
}

/** Every version that has checksums to be compared with, the first one due first; of several, a parent before what is made on it. */
export const candidates = (images: Iterable<ImageRow>, everyMillis: number): ReadonlyArray<Candidate> => {
  const all = [...images].flatMap(({ id: imageId, name: imageName, versions }) =>
    versions.flatMap((version) =>
      version.checkedAt === null || version.checksums === null || version.retired
        ? []
        : [{ imageId, imageName, version, dueAt: version.checkedAt + everyMillis }],
    ),
  )
  return all.sort(
    (a, b) => a.dueAt - b.dueAt || compareNatural(a.imageName, b.imageName) || a.version.number - b.version.number,
  )
}
