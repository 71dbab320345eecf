/** Small raw disks for specs: bytes that place and seed decide, with a boot signature. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { patterned } from "./random.ts"

export interface RawImage {
  readonly path: string
  readonly bytes: Buffer
}

export const rawBytes = (sizeBytes: number, seed = 1): Buffer => {
  const bytes = patterned(sizeBytes, seed)
  if (sizeBytes >= 512) bytes.writeUInt16LE(0xaa55, 510)
  return bytes
}

/** Writes `folder/name` and answers it. */
export const rawImage = (folder: string, name: string, sizeBytes: number, seed = 1): RawImage => {
  const path = join(folder, name)
  const bytes = rawBytes(sizeBytes, seed)
  writeFileSync(path, bytes)
  return { path, bytes }
}
