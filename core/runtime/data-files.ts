/**
 * What the server does with files of its own data folder that a folder of volumes cannot: second names and pointers.
 *
 * Names are relative to the data folder, with `/` between folders. What settles survives a power loss.
 */
export interface DiskSpace {
  readonly freeBytes: number
  readonly sizeBytes: number
}

export interface DataFiles {
  /** Gives a file a second name; the folders above it are made. A name that is taken is replaced. */
  link(file: string, as: string): Promise<void>
  /** Makes `name` a symbolic link to `target`, which is taken as it is written. A link that is there is replaced in one step. */
  pointTo(name: string, target: string): Promise<void>
  /** How much room the file system of the data folder has, for whoever the server runs as; undefined where that is not known. */
  space?(): Promise<DiskSpace | undefined>
  /** Makes a file of zeros, sparse. @throws NO_SPACE IO_ERROR */
  create(file: string, sizeBytes: number): Promise<void>
  /** Room for more on the file system of the data folder; undefined where that is not known. */
  freeBytes(): Promise<number | undefined>
}
