/**
 * The Host port for Linux: what its kernel tells in /proc and in the control groups, and the calls of its C library that Node lacks.
 *
 * **Details** Everything is read when it is asked for, with one small file read each, and unknown where a file is missing. So on another
 * system every answer is "not known", and callers fall back. The C library's calls (libc.ts) are looked for when the first of them is: a
 * command that opens no image starts without them.
 */
import { readFileSync } from "node:fs"
import { userInfo } from "node:os"
import type { Host } from "../../core/host.ts"
import { type LibcCalls, loadLibc } from "./libc.ts"
import { memoryAvailableBytes, type ReadText } from "./memory.ts"

const readText: ReadText = (path) => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    return undefined
  }
}

/** `read` answers a file's text, or undefined when there is none, `load` the C library's calls; specs inject both. */
export const linuxHost = (read: ReadText = readText, load: () => LibcCalls | undefined = loadLibc): Host =>
  new LinuxHost(read, load)

class LinuxHost implements Host {
  readonly #read: ReadText
  readonly #load: () => LibcCalls | undefined
  #libc: { readonly calls: LibcCalls | undefined } | undefined

  constructor(read: ReadText, load: () => LibcCalls | undefined) {
    this.#read = read
    this.#load = load
  }

  readonly bootId = () => bootIdIn(this.#read("/proc/sys/kernel/random/boot_id"))
  readonly userName = userName
  readonly memoryAvailableBytes = () => memoryAvailableBytes(this.#read)

  get punchHole() {
    return this.#calls()?.punchHole
  }
  get nextData() {
    return this.#calls()?.nextData
  }
  get readCached() {
    return this.#calls()?.readCached
  }
  get peerCredentials() {
    return this.#calls()?.peerCredentials
  }
  get bindToDevice() {
    return this.#calls()?.bindToDevice
  }
  get unansweredMax() {
    return this.#calls()?.unansweredMax
  }
  get clockSynchronised() {
    return this.#calls()?.clockSynchronised
  }
  get sendBufferMax() {
    return this.#calls()?.sendBufferMax
  }
  get boundDevice() {
    return this.#calls()?.boundDevice
  }
  get sharePort() {
    return this.#calls()?.sharePort
  }
  get shareByProcessor() {
    return this.#calls()?.shareByProcessor
  }
  get keepToProcessors() {
    return this.#calls()?.keepToProcessors
  }
  get datagramExchange() {
    return this.#calls()?.datagramExchange
  }
  get datagrams() {
    return this.#calls()?.datagrams
  }

  #calls(): LibcCalls | undefined {
    this.#libc ??= { calls: this.#load() }
    return this.#libc.calls
  }
}

/** random(4): a UUID drawn at boot. Anything else is not trusted, because equal ids let an overlay trust its working map. */
const bootIdIn = (text: string | undefined): string | undefined => {
  const id = text?.trim().toLowerCase() ?? ""
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id) ? id : undefined
}

/** A user without an entry in the password database, as in many containers, is named by number. */
const userName = (): string => {
  try {
    return userInfo().username
  } catch {
    return `uid ${process.getuid?.() ?? "unknown"}`
  }
}
