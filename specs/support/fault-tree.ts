/**
 * Folders in folders on a host that dies (fault-volume.ts): at depth 0 the folder of all overlays, at depth 3 generations.
 *
 * | at          | replaced files and renames, settled | removals and the rest that settled | in flight           |
 * | ----------- | ----------------------------------- | ---------------------------------- | ------------------- |
 * | `kill`      | all kept                            | all kept                           | each done, or not   |
 * | `powerLoss` | all kept: they are synced           | a removal may be undone            | each done, or not   |
 *
 * **Details** Every handle belongs to the process that made it: a dead one's requests never settle.
 */
import type { VolumeFolder, WritableVolume } from "../../core/storage/volume.ts"
import { FaultFolder, type FaultHost, type FaultOptions } from "./fault-volume.ts"

type Node = Tree | FaultFolder

/** Folders and small files by name, as the disk and the page cache have them. */
class Tree {
  readonly folders = new Map<string, Node>()
  files = new Map<string, Uint8Array>()
  syncedFolders = new Map<string, Node>()
  syncedFiles = new Map<string, Uint8Array>()

  sync(): void {
    this.syncedFolders = new Map(this.folders)
    this.syncedFiles = new Map(this.files)
  }
}

export class FaultTree {
  readonly #host: FaultHost
  readonly #options: FaultOptions
  readonly #root = new Tree()

  constructor(host: FaultHost, options: FaultOptions) {
    this.#host = host
    this.#options = options
  }

  /** The root, for the process that lives now. */
  open(): VolumeFolder {
    return new Handle(
      { host: this.#host, options: this.#options, life: this.#host.life },
      "overlays",
      0,
      () => this.#root,
    )
  }

  kill(): void {
    this.#host.die()
  }

  powerLoss(): void {
    this.#host.die()
    this.#host.boot++
    this.#lose(this.#root)
  }

  #lose(node: Node): void {
    if (node instanceof FaultFolder) {
      node.powerLoss()
      return
    }
    const r = this.#host.random
    for (const [name, folder] of node.syncedFolders)
      if (!node.folders.has(name) && r.chance(0.5)) node.folders.set(name, folder)
    for (const [name, file] of node.syncedFiles) if (!node.files.has(name) && r.chance(0.5)) node.files.set(name, file)
    node.sync()
    for (const folder of node.folders.values()) this.#lose(folder)
  }
}

interface Process {
  readonly host: FaultHost
  readonly options: FaultOptions
  readonly life: number
}

const never = <A>(): Promise<A> => new Promise(() => {})

/** A folder by its path, there or not. */
class Handle implements VolumeFolder {
  readonly path: string
  readonly #process: Process
  readonly #depth: number
  /** What it stands for now; `make` makes it where it is missing. */
  readonly #node: (make: boolean) => Node | undefined

  constructor(process: Process, path: string, depth: number, node: (make: boolean) => Node | undefined) {
    this.#process = process
    this.path = path
    this.#depth = depth
    this.#node = node
  }

  folder(name: string): VolumeFolder {
    const { host, options } = this.#process
    return new Handle(this.#process, `${this.path}/${name}`, this.#depth + 1, (make) => {
      const parent = this.#node(make)
      if (!(parent instanceof Tree)) return undefined
      const found = parent.folders.get(name)
      if (found !== undefined || !make) return found
      const made = this.#depth < 2 ? new Tree() : new FaultFolder(host, options)
      parent.folders.set(name, made)
      // A folder is synced into the one above it as soon as it is made.
      parent.syncedFolders.set(name, made)
      return made
    })
  }

  async open(name: string, options?: { readonly create?: { readonly sizeBytes: number } }): Promise<WritableVolume> {
    if (!this.#alive()) return never()
    const node = this.#node(true)
    if (!(node instanceof FaultFolder)) throw new Error("only a generation has volumes")
    return node.open(name, options)
  }

  async readFile(name: string): Promise<Uint8Array | undefined> {
    if (!this.#alive()) return never()
    const node = this.#node(false)
    return node instanceof Tree ? node.files.get(name) : node?.readFile(name)
  }

  async replaceFile(name: string, bytes: Uint8Array): Promise<void> {
    const node = this.#alive() && this.#node(true)
    if (!node) return never()
    if (node instanceof FaultFolder) return node.replaceFile(name, bytes)
    return this.#change(() => {
      node.files.set(name, Uint8Array.from(bytes))
      node.sync()
    })
  }

  async list(): Promise<ReadonlyArray<string>> {
    if (!this.#alive()) return never()
    const node = this.#node(false)
    return node instanceof Tree ? [...node.folders.keys(), ...node.files.keys()].sort() : ((await node?.list()) ?? [])
  }

  async rename(from: string, to: string): Promise<void> {
    const node = this.#alive() && this.#node(true)
    if (!(node instanceof Tree)) return never()
    return this.#change(() => {
      const moved = node.folders.get(from)
      if (moved === undefined || node.folders.has(to)) throw new Error(`${from} cannot be renamed to ${to}`)
      node.folders.delete(from)
      node.folders.set(to, moved)
      node.sync()
    })
  }

  async remove(name: string): Promise<void> {
    const node = this.#alive() && this.#node(false)
    if (node === false) return never()
    if (node instanceof FaultFolder) return node.remove(name)
    return this.#change(() => {
      node?.folders.delete(name)
      node?.files.delete(name)
    })
  }

  async sync(): Promise<void> {
    const node = this.#alive() && this.#node(false)
    if (node === false) return never()
    return node instanceof FaultFolder ? node.sync() : this.#change(() => node?.sync())
  }

  #alive(): boolean {
    return this.#process.life === this.#process.host.life
  }

  #change(change: () => void): Promise<void> {
    const { host } = this.#process
    return host.request(change, () => {
      if (host.random.chance(0.5)) change()
    })
  }
}
