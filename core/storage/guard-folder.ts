/**
 * The rear guard of a folder of writable volumes: judges names, contains errors, guards every volume it opens.
 *
 * **Details** Names come from our own code (an overlay's files), so a bad one is a programmer's mistake and asserted: one path
 * segment of letters, digits, dot, hyphen and underscore that does not begin with a dot. Plugins may keep temporary files under names with a dot.
 * What was not answered in time may still happen, so until it has its entries are refused.
 */
import assert from "node:assert"
import { fail } from "../errors.ts"
import { Asker, type Patience, pluginPatience } from "./asker.ts"
import type { Request, Where } from "./contain.ts"
import { guardVolume, letGo } from "./guard.ts"
import type { VolumeFolder, WritableVolume } from "./volume.ts"

const namePattern = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/

export const guardFolder = (folder: VolumeFolder, where: Where, patience: Patience = pluginPatience): VolumeFolder =>
  new GuardedFolder(folder, where, patience)

class GuardedFolder implements VolumeFolder {
  readonly path: string
  readonly #folder: VolumeFolder
  readonly #where: Where

  readonly #patience: Patience
  readonly #asking: Asker

  constructor(folder: VolumeFolder, where: Where, patience: Patience) {
    this.path = folder.path
    this.#folder = folder
    this.#where = { ...where, path: folder.path }
    this.#patience = patience
    this.#asking = new Asker(this.#where, patience)
  }

  async open(name: string, options?: { readonly create?: { readonly sizeBytes: number } }): Promise<WritableVolume> {
    const where = this.#entry(name)
    const volume = await this.#ask(
      { need: "write", names: [name] },
      where,
      () => this.#folder.open(name, options),
      letGo,
    )
    const guarded = guardVolume(volume, where, this.#patience)
    const size = options?.create?.sizeBytes
    const why =
      guarded.support.write === "none"
        ? `the folder's volume ${name} cannot be written`
        : size !== undefined && guarded.sizeBytes !== size
          ? `${name} was to be ${size} bytes long and is ${guarded.sizeBytes}`
          : undefined
    if (why === undefined) return guarded
    await guarded.close()
    throw fail("PLUGIN_BROKE_CONTRACT", { kind: where.kind, why })
  }

  readFile(name: string): Promise<Uint8Array | undefined> {
    return this.#ask({ need: "read", names: [name] }, this.#entry(name), () => this.#folder.readFile(name))
  }

  replaceFile(name: string, bytes: Uint8Array): Promise<void> {
    return this.#ask({ need: "write", names: [name] }, this.#entry(name), () => this.#folder.replaceFile(name, bytes))
  }

  list(): Promise<ReadonlyArray<string>> {
    return this.#ask({ need: "read" }, this.#where, () => this.#folder.list())
  }

  folder(name: string): VolumeFolder {
    const where = this.#entry(name)
    return new GuardedFolder(this.#folder.folder(name), where, this.#patience)
  }

  rename(from: string, to: string): Promise<void> {
    this.#entry(to)
    return this.#ask({ need: "write", names: [from, to] }, this.#entry(from), () => this.#folder.rename(from, to))
  }

  remove(name: string): Promise<void> {
    return this.#ask({ need: "write", names: [name] }, this.#entry(name), () => this.#folder.remove(name))
  }

  sync(): Promise<void> {
    return this.#ask({ need: "write" }, this.#where, () => this.#folder.sync())
  }

  #entry(name: string): Where {
    assert(namePattern.test(name), `${JSON.stringify(name)} is not a name for an entry of a folder`)
    return { ...this.#where, path: `${this.path}/${name}` }
  }

  async #ask<A>(request: Request, where: Where, ask: () => Promise<A>, late?: (answer: A) => void): Promise<A> {
    for (const stuck of this.#asking.stuck)
      if (stuck.need === "write" && stuck.names?.some((name) => request.names?.includes(name)))
        throw fail("IO_ERROR", {
          what: where.path,
          why: `the plugin ${where.kind} has not answered an earlier change of it`,
        })
    return this.#asking.ask(request, ask, late === undefined ? { where } : { where, late })
  }
}
