/**
 * Opens an image file as the disk a guest sees: storage plugin, guard, format, guard, and the files it was read from.
 *
 *     location ─► plugin.open ─► guard ─► (probe) ─► format.open ─► guard ─► disk
 *                                              ├─ sibling("win11.data") ─► plugin.open ─► guard
 *                                              └─ disk("parents/…/base.raw", "raw") ─► plugin.open ─► guard ─► format.open ─► guard
 *
 * **Details** Whatever went wrong, everything that was opened is closed again. When it went well, closing the disk closes all of it.
 *
 * **The jail.** An image may name other files, and whoever made the image chose those names. A name is relative, one segment after
 * another, and none of them is `..`: judged as written, because a cleaned-up `a/../b` may mean another file where `a` is a symlink. What
 * symlinks inside the folder point to is the operator's business. An absolute name is taken where the storage can tell (`relative`) that the
 * file is in the folder of the image that was asked for, and then opened by its name in there. At most `formatSiblingsMax` files are opened, and an image that depends on
 * itself is refused: by path, and by identity where storage has one, because a symlink gives one file many paths.
 */
import { fail } from "../errors.ts"
import { limits } from "../limits.ts"
import { Asker, formatPatience } from "./asker.ts"
import { contain } from "./contain.ts"
import type { DiskFormat, FormatDisk } from "./format.ts"
import { type GuardedVolume, guardVolume, letGo } from "./guard.ts"
import { locationPath, type OpenOptions, openConfigured, validateConfig, whereOf } from "./open-volume.ts"
import type { StorageLocation, StoragePlugin } from "./plugin.ts"
import { probeFormat } from "./probe.ts"
import type { VolumeIdentity } from "./volume.ts"

export interface OpenImageOptions extends OpenOptions {
  readonly location: StorageLocation
  /** As the log records it. Without one the content decides, which is right only while an image is being added. */
  readonly format?: string
  readonly formats: ReadonlyArray<DiskFormat>
}

/** One file that the disk is read from; its identity is what must not change. */
export interface ImageFile {
  readonly path: string
  readonly sizeBytes: number
  readonly identity: VolumeIdentity
}

export interface GuardedDisk extends GuardedVolume, Pick<FormatDisk, "dependsOn"> {}

export interface OpenedImage {
  readonly disk: GuardedDisk
  readonly format: string
  /** The guest's disk, not the file. */
  readonly sizeBytes: number
  /** The image file first, then what it depends on, in order of opening. */
  readonly files: ReadonlyArray<ImageFile>
}

interface Opened {
  readonly path: string
  readonly volume: GuardedVolume
}

/**
 * @throws PLUGIN_NOT_FOUND PLUGIN_CONFIG_INVALID PLUGIN_BROKE_CONTRACT IMAGE_FILE_NOT_FOUND IMAGE_ACCESS_DENIED IMAGE_NOT_A_DISK
 *   IMAGE_FORMAT_UNSUPPORTED IMAGE_DEPENDENCY_REFUSED IMAGE_SIZE_ODD IMAGE_TOO_LARGE IO_ERROR CANCELLED
 */
export const openImageFile = async (options: OpenImageOptions): Promise<OpenedImage> => {
  const plugin = options.plugins.storage(options.location.kind)
  const config = await validateConfig(plugin, options.location.config)
  const opened: Array<Opened> = []
  try {
    return await openThrough(plugin, config, options, opened)
  } catch (thrown) {
    await closeAll(opened)
    throw contain(thrown, whereOf(plugin.kind, config, options.host))
  }
}

const openThrough = async (
  plugin: StoragePlugin,
  config: unknown,
  options: OpenImageOptions,
  opened: Array<Opened>,
): Promise<OpenedImage> => {
  const path = locationPath(plugin.kind, config)
  const volume = await openConfigured(plugin, config, options)
  opened.push({ path, volume })
  if (volume.sizeBytes === 0) throw fail("IMAGE_NOT_A_DISK", { path, why: "it is empty" })
  const { format, disk } = await openDisk({ plugin, config, options, opened }, { path, volume }, options.format)
  const guarded = Object.assign(closingAll(disk, opened, format), { dependsOn: disk.dependsOn })
  try {
    judgeSize(guarded.sizeBytes, path)
    const files = await Promise.all(opened.map(describe))
    return { disk: guarded, format, sizeBytes: guarded.sizeBytes, files }
  } catch (thrown) {
    await guarded.close().catch(() => undefined)
    throw thrown
  }
}

/** Where one image is, and what all images of this opening share. */
interface Place {
  readonly plugin: StoragePlugin
  readonly config: unknown
  readonly options: OpenImageOptions
  /** Every file of the opening, in order. */
  readonly opened: Array<Opened>
}

/** An image that is being opened, and the one that asked for it. */
interface Asking extends Opened {
  readonly above?: Asking
}

/** Opens a volume through its format: the image itself, or one that it depends on. */
const openDisk = async (
  place: Place,
  file: Asking,
  name: string | undefined,
): Promise<{ readonly format: string; readonly disk: GuardedDisk }> => {
  const { plugin, config, options } = place
  const { signal, patience = formatPatience } = options
  const format = await chooseFormat(options, name, file.volume, file.path)
  const where = { ...whereOf(plugin.kind, config, options.host), kind: format.format }
  let disk: FormatDisk
  try {
    const sibling = async (relative: string) => (await openSibling(place, relative)).volume
    const below = (relative: string, its?: string) => openBelow(place, file, relative, its)
    const context = { signal, limits, path: file.path, sibling, disk: below }
    const asking = new Asker(where, { ...patience, readSeconds: patience.openSeconds })
    disk = await asking.ask({ need: "read" }, () => format.open(file.volume, context), { caller: signal, late: letGo })
  } catch (thrown) {
    throw contain(thrown, where)
  }
  return {
    format: format.format,
    disk: Object.assign(guardVolume(disk, where, patience), { dependsOn: disk.dependsOn }),
  }
}

const openBelow = async (place: Place, above: Asking, relative: string, name?: string): Promise<GuardedDisk> => {
  const { config, path, volume } = await openSibling(place, relative)
  const self = await isAmong(above, path, volume)
  if (self) throw fail("IMAGE_DEPENDENCY_REFUSED", { path: above.path, needs: relative, why: "it depends on itself" })
  return (await openDisk({ ...place, config }, { path, volume, above }, name)).disk
}

/** Whether a file is one of those that led to it. */
const isAmong = async (above: Asking, path: string, volume: GuardedVolume): Promise<boolean> => {
  const known = volume.support.identity === "native" ? canonical(await volume.identity()) : undefined
  for (let one: Asking | undefined = above; one !== undefined; one = one.above) {
    if (one.path === path) return true
    if (known !== undefined && canonical(await one.volume.identity()) === known) return true
  }
  return false
}

const canonical = (identity: VolumeIdentity): string => JSON.stringify(Object.entries(identity).sort())

const chooseFormat = async (
  { formats, signal }: OpenImageOptions,
  name: string | undefined,
  volume: GuardedVolume,
  path: string,
): Promise<DiskFormat> => {
  if (name === undefined) return probeFormat(formats, volume, path, signal)
  const format = formats.find((candidate) => candidate.format === name)
  if (format === undefined) throw fail("IMAGE_FORMAT_UNSUPPORTED", { path, format: name })
  return format
}

const openSibling = async (
  { plugin, config, options, opened }: Place,
  relative: string,
): Promise<Opened & { readonly config: unknown }> => {
  const refuse = (why: string) =>
    fail("IMAGE_DEPENDENCY_REFUSED", { path: locationPath(plugin.kind, config), needs: String(relative), why })
  const inside = isAbsolute(relative) ? await insideOf(plugin, options, relative) : undefined
  const fault = siblingFault(inside?.relative ?? relative)
  if (fault !== undefined) throw refuse(fault)
  if (opened.length > limits.formatSiblingsMax)
    throw refuse(`an image may depend on at most ${limits.formatSiblingsMax} other files`)
  if (plugin.sibling === undefined) throw refuse(`the storage plugin ${plugin.kind} opens single files only`)
  const beside =
    inside === undefined ? plugin.sibling(config, relative) : plugin.sibling(inside.config, inside.relative)
  const volume = await openConfigured(plugin, beside, options)
  const file = { path: locationPath(plugin.kind, beside), volume }
  opened.push(file)
  return { ...file, config: beside }
}

const isAbsolute = (name: unknown): name is string => typeof name === "string" && name.startsWith("/")

/** Where a file of an absolute name is in the folder of the image that was asked for; undefined when it is elsewhere, or nobody can tell. */
const insideOf = async (plugin: StoragePlugin, { location, host }: OpenImageOptions, absolute: string) => {
  if (plugin.relative === undefined || nameFault(absolute) !== undefined) return undefined
  const config = await validateConfig(plugin, location.config)
  try {
    const relative: unknown = await plugin.relative(config, absolute)
    return typeof relative === "string" ? { config, relative } : undefined
  } catch (thrown) {
    throw contain(thrown, whereOf(plugin.kind, config, host))
  }
}

/** The location of a file that an image was read from, by its path as the opening told it; undefined where that does not say enough. */
export const placeBeside = (
  plugin: StoragePlugin,
  { kind, config }: StorageLocation,
  image: string | undefined,
  path: string,
): StorageLocation | undefined => {
  const folder = image?.slice(0, image.lastIndexOf("/") + 1) ?? ""
  const relative = folder !== "" && path.startsWith(folder) ? path.slice(folder.length) : undefined
  if (relative === undefined || siblingFault(relative) !== undefined) return undefined
  const beside = plugin.sibling?.(config, relative)
  return beside === undefined ? undefined : { kind, config: beside as StorageLocation["config"] }
}

/** Why a name may not be opened beside an image. */
export const siblingFault = (relative: unknown): string | undefined => {
  if (typeof relative !== "string" || relative === "") return "it is not a file name"
  const fault = nameFault(relative)
  if (fault !== undefined) return fault
  if (relative.startsWith("/") || /^[A-Za-z]:/.test(relative))
    return "an absolute name outside the image's folder could be any file of this server"
  const segments = relative.split("/")
  if (segments.includes("..")) return "the name leads out of the image's folder"
  return segments.some((segment) => segment === "") ? "it is not a plain relative name" : undefined
}

/** What no name may have. */
const nameFault = (name: string): string | undefined => {
  if (name.length > limits.siblingNameCharsMax) return "the name is too long"
  if (/[\x00-\x1f\x7f]/.test(name)) return "the name has control characters"
  return name.includes("\\") ? "the name has a backslash" : undefined
}

const judgeSize = (sizeBytes: number, path: string): void => {
  if (sizeBytes === 0) throw fail("IMAGE_NOT_A_DISK", { path, why: "the disk in it is empty" })
  if (sizeBytes > limits.imageBytesMax)
    throw fail("IMAGE_TOO_LARGE", { path, sizeBytes, maxBytes: limits.imageBytesMax })
  if (sizeBytes % limits.logicalBlockBytes !== 0) throw fail("IMAGE_SIZE_ODD", { path, sizeBytes })
}

const describe = async ({ path, volume }: Opened): Promise<ImageFile> => ({
  path,
  sizeBytes: volume.sizeBytes,
  identity: await volume.identity(),
})

/** A format closes the volume it was opened over, and its siblings; whatever it forgot is closed here, and said. */
const closingAll = (disk: GuardedVolume, opened: ReadonlyArray<Opened>, format: string): GuardedVolume => {
  const close = disk.close.bind(disk)
  const closeThem = async () => {
    let forgotten: ReadonlyArray<Opened> = []
    try {
      await close()
      forgotten = opened.filter(({ volume }) => !volume.isClosed)
    } finally {
      await closeAll(opened)
    }
    if (forgotten.length === 0) return
    const names = forgotten.map(({ path }) => path).join(", ")
    throw fail("PLUGIN_BROKE_CONTRACT", {
      kind: format,
      why: `it closed its disk and left open: ${names}; closed for it`,
    })
  }
  let closing: Promise<void> | undefined
  return Object.assign(disk, {
    close: () => {
      closing ??= closeThem()
      return closing
    },
  })
}

/** Closes everything and reports nothing: the caller has a better error, or the disk's own close had it. */
const closeAll = async (opened: ReadonlyArray<Opened>): Promise<void> => {
  await Promise.allSettled(opened.map(({ volume }) => volume.close()))
}
