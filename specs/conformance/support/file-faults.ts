/**
 * Makes Node's own reads of one file short, late or failing, so that any plugin that reads files can be tested without being told.
 *
 * **Details** `fs.read`, `fs.readSync` and `FileHandle.read` are replaced while a fault lasts, for descriptors of that file alone. A plugin that
 * took hold of them before (`promisify(fs.read)`) meets no fault, and `met` stays 0.
 */
import fs, { type FileHandle } from "node:fs/promises"
import { createRequire, syncBuiltinESMExports } from "node:module"

const node = createRequire(import.meta.url)("node:fs") as typeof import("node:fs")

/** A fault that lasts until it is ended. */
export interface Fault {
  /** Requests that met it so far. */
  readonly met: number
  end(): void
}

/** What can be made to go wrong beneath a sample. What is left out is skipped. */
export interface SampleFaults {
  /** The storage answers with at most so many bytes at a time. */
  short?(bytesMax: number): Fault
  /** The storage answers nothing before `end`, and then everything, the last request first. */
  late?(): Fault
  /** The storage fails where this byte of the sample is. */
  fail?(offset: number): Fault
  /** From now on the storage has only the first bytes of the sample. */
  shrink?(sizeBytes: number): Promise<void>
}

/** What a read is turned into. `go` does it; with `length` it is shorter, and an error replaces it. */
interface Policy {
  length(position: number, length: number): number
  error(position: number, length: number): Error | undefined
  when(go: () => void): void
}

const plain: Policy = { length: (_, length) => length, error: () => undefined, when: (go) => go() }

/** Faults of a file that holds the sample as it is, at `start`. */
export const fileFaults = async (path: string, bytes: Uint8Array): Promise<SampleFaults> => {
  const start = (await fs.readFile(path)).indexOf(bytes.subarray(0, 64))
  const prototype = await handlePrototype(path)
  const faulty = (policy: Partial<Policy>) => replaceReads(path, prototype, { ...plain, ...policy })
  if (start < 0) return {}
  return {
    short: (bytesMax) => faulty({ length: (_, length) => Math.min(length, bytesMax) }),
    late() {
      const held: Array<() => void> = []
      const fault = faulty({ when: (go) => void held.push(go) })
      return {
        get met() {
          return held.length
        },
        end() {
          fault.end()
          for (const go of held.splice(0).reverse()) go()
        },
      }
    },
    fail(offset) {
      const bad = start + offset
      const error = (position: number, length: number) =>
        position <= bad && bad < position + length
          ? Object.assign(new Error("EIO: i/o error, read"), { code: "EIO" })
          : undefined
      return faulty({ error })
    },
    shrink: (sizeBytes) => fs.truncate(path, start + sizeBytes),
  }
}

type Args = ReadonlyArray<unknown>
type Reads = { readonly read: unknown; readonly readSync: unknown; readonly handleRead: unknown }

const replaceReads = (path: string, prototype: { read: unknown }, policy: Policy): Fault => {
  const { ino, dev } = node.statSync(path)
  const right: Reads = { read: node.read, readSync: node.readSync, handleRead: prototype.read }
  let met = 0
  /** What becomes of a read, given as (descriptor, buffer, offset, length, position); undefined when it is not of this file. */
  const judge = (fd: number, length: unknown, position: unknown) => {
    if (typeof length !== "number") return undefined
    const stats = node.fstatSync(fd)
    if (stats.ino !== ino || stats.dev !== dev) return undefined
    const at = Number(position ?? 0)
    const error = policy.error(at, length)
    const given = policy.length(at, length)
    if (error !== undefined || given !== length || policy.when !== plain.when) met += 1
    return { error, given }
  }
  const put = ({ read, readSync, handleRead }: Reads) => {
    Object.assign(node, { read, readSync })
    Object.assign(prototype, { read: handleRead })
    syncBuiltinESMExports()
  }
  put(faultyReads(right, judge, policy))
  return {
    get met() {
      return met
    },
    end: () => put(right),
  }
}

type Judge = (fd: number, length: unknown, position: unknown) => { error: Error | undefined; given: number } | undefined

const faultyReads = (right: Reads, judge: Judge, policy: Policy): Reads => {
  const call = right as Readonly<Record<keyof Reads, (...args: Args) => unknown>>
  return {
    read(...args: Args) {
      const [fd, buffer, offset, length, position, done] = args
      const judged = judge(fd as number, length, position)
      if (judged === undefined) return call.read(...args)
      policy.when(() => {
        if (judged.error === undefined) call.read(fd, buffer, offset, judged.given, position, done)
        else setImmediate(done as (error: Error) => void, judged.error)
      })
    },
    readSync(...args: Args) {
      const [fd, buffer, offset, length, position] = args
      const judged = judge(fd as number, length, position)
      if (judged === undefined) return call.readSync(...args)
      if (judged.error !== undefined) throw judged.error
      return call.readSync(fd, buffer, offset, judged.given, position)
    },
    async handleRead(this: FileHandle, ...args: Args) {
      const [buffer, offset, length, position] = args
      const judged = judge(this.fd, length, position)
      if (judged === undefined) return call.handleRead.apply(this, [...args])
      await new Promise<void>((resolve) => policy.when(resolve))
      if (judged.error !== undefined) throw judged.error
      return call.handleRead.apply(this, [buffer, offset, judged.given, position])
    },
  }
}

/** Node exports no FileHandle; all of them share a prototype. */
const handlePrototype = async (path: string): Promise<{ read: unknown }> => {
  const handle = await fs.open(path, "r")
  await handle.close()
  return Object.getPrototypeOf(handle) as { read: unknown }
}
