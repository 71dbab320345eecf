/**
 * Opens a remote image: what it is now, what the cache has of it, and one set of blocks for everybody who has it open.
 *
 * **Details** The server is asked what the object is at each opening. Where it cannot be reached, and the object is known from before, the image opens as it was:
 * what is in the cache is read, and the rest as soon as the server is back, if it is still the same. An object without a validator (NBD, or `immutable` over HTTP)
 * is known from before only if the operator says that it never changes; else its blocks are dropped with the last volume.
 */
import { createHash, randomUUID } from "node:crypto"
import { join } from "node:path"
import { fail, type Host, isImagelinkError, limits, type Volume, type VolumeIdentity } from "imagelink/plugin"
import { ObjectBlocks } from "./blocks.ts"
import { readKnown, writeKnown } from "./cache/known.ts"
import { type CacheHold, holdCache } from "./cache/shared.ts"
import type { Clock } from "./clock.ts"
import type { RemoteConfig } from "./config.ts"
import { describePatiently } from "./patience.ts"
import { type Described, type Source, sameObject } from "./source.ts"

export interface OpenRemote {
  readonly config: RemoteConfig
  readonly source: Source
  readonly host: Host
  readonly signal: AbortSignal
  readonly clock: Clock
}

interface Shared {
  readonly blocks: ObjectBlocks
  readonly object: string
  holds: number
}
/** By cache, object and configuration: what two volumes may share. */
const shared = new Map<string, Shared>()

/** By place: the name that an object without a validator has in the cache while it is open, and never again. */
const passing = new Map<string, string>()

const IDENTITY_CHARS_MAX = 200
const sha256 = (...parts: ReadonlyArray<string>) => createHash("sha256").update(parts.join("\n")).digest("hex")

export const openRemote = async (opening: OpenRemote): Promise<Volume> => {
  const { config, source, host } = opening
  const own = cacheFolderOf(host)
  const folder = config.cache ?? own
  let hold: CacheHold | undefined
  try {
    const { described, before } = await describe(opening, folder)
    if (described.sizeBytes === 0) throw fail("IMAGE_NOT_A_DISK", { path: config.url, why: "it is empty" })
    hold = await holdCache(folder, config.cacheBytes, { isOwn: folder === own, host })
    if (before !== undefined) hold.cache.forget(objectOf(config, before))
    const { cache, release } = hold
    const object = objectOf(config, described)
    const key = `${folder ?? randomUUID()} ${object} ${JSON.stringify(config)}`
    const known = shared.get(key)
    const { clock } = opening
    const options = { source, described, cache, object, clock, readMillis: config.readMillis }
    const one = known ?? { blocks: new ObjectBlocks(options), object, holds: 0 }
    one.holds++
    shared.set(key, one)
    if (known !== undefined) await source.close()
    const close = async () => {
      one.holds--
      if (one.holds === 0) {
        shared.delete(key)
        await one.blocks.close()
        if (!isKept(config, described)) {
          passing.delete(placeOf(config))
          cache.forget(object)
        }
      }
      await release()
    }
    return {
      sizeBytes: described.sizeBytes,
      read: (into, at, offset, length, signal) => one.blocks.read(into, at, offset, length, signal),
      identity: async () => identityOf(described),
      close,
    }
  } catch (error) {
    await source.close()
    await hold?.release()
    throw error
  }
}

const cacheFolderOf = (host: Host): string | undefined => {
  const folder = host.cacheFolder?.()
  return folder === undefined ? undefined : join(folder, "remote")
}

const isKept = ({ immutable }: RemoteConfig, { validator }: Described) => immutable || validator !== undefined

/** Where an object is, whoever asks for it. */
const placeOf = ({ url, endpoint }: RemoteConfig): string => (endpoint === undefined ? url : `${endpoint} ${url}`)

/** The name of one state of one object in the cache. */
const objectOf = (config: RemoteConfig, described: Described): string => {
  const { sizeBytes, validator } = described
  const state = isKept(config, described)
    ? `${validator?.kind ?? "immutable"} ${validator?.text ?? ""}`
    : passingName(config)
  return sha256(placeOf(config), state, String(sizeBytes)).slice(0, 32)
}

interface Asked {
  readonly described: Described
  /** What it was before, if that was something else. */
  readonly before?: Described
}

const passingName = (config: RemoteConfig): string => {
  const place = placeOf(config)
  const name = passing.get(place) ?? randomUUID()
  passing.set(place, name)
  return name
}

/** What the object is now; or, while its server is away, what it was. @throws REMOTE_UNREACHABLE REMOTE_REFUSED IMAGE_FILE_NOT_FOUND CANCELLED */
const describe = async (opening: OpenRemote, folder: string | undefined): Promise<Asked> => {
  const { config, source, signal, clock } = opening
  const location = sha256(placeOf(config))
  const known = folder === undefined ? undefined : await readKnown(folder, location)
  const patience = known === undefined ? config.readMillis : Math.min(limits.remoteOpenMillis, config.readMillis)
  let described: Described
  try {
    described = await describePatiently(source, clock, { at: clock.now() + patience, signal })
  } catch (error) {
    const isAway = isImagelinkError(error) && error.code === "REMOTE_UNREACHABLE"
    if (known !== undefined && isAway && isKept(config, known)) return { described: known }
    throw error
  }
  if (known !== undefined && sameObject(known, described)) return { described }
  if (folder !== undefined && isKept(config, described)) await writeKnown(folder, location, described)
  return known === undefined ? { described } : { described, before: known }
}

/** Goes into the log, so a long validator is shortened to its hash. */
const identityOf = ({ sizeBytes, validator }: Described): VolumeIdentity => {
  if (validator === undefined) return { sizeBytes: String(sizeBytes) }
  const { kind, text } = validator
  const short = text.length <= IDENTITY_CHARS_MAX ? text : `sha256:${sha256(text)}`
  return { [kind === "etag" ? "etag" : "lastModified"]: short, sizeBytes: String(sizeBytes) }
}
