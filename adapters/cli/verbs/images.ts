/** `imagelink image …` */
import { resolve } from "node:path"
import { fail, ImagelinkError } from "../../../core/errors.ts"
import type { ImageRow } from "../../../core/projections/image-versions.ts"
import type { CheckAnswer, DamagedRange } from "../../../core/runtime/site/images.ts"
import type { Site } from "../../../core/runtime/site.ts"
import type { CommonOptions } from "../options.ts"
import { bytes, type Column, count, print, printJson, table, time } from "../output.ts"
import { progressView } from "../progress.ts"
import { callOptions, interruptible, withSite } from "../site.ts"
import { printChanged } from "./changed.ts"

interface PlaceOptions extends CommonOptions {
  readonly storage?: string
  readonly storageConfig?: string
}

interface CheckOptions extends CommonOptions {
  readonly all?: boolean
}

interface AddOptions extends PlaceOptions {
  readonly note?: string
  readonly check: boolean
}

/** As the server is told: an absolute path, or an address as it is. */
const placeText = (path: string): string => (/^[a-z][a-z0-9+.-]*:\/\//i.test(path) ? path : resolve(path))

/** Where the image's bytes are: a local file, an address that a storage plugin takes, or whatever a storage plugin's configuration says. */
const placeOf = ({ storage, storageConfig }: PlaceOptions, path: string | undefined, verb: "add" | "relocate") => {
  const usage = (why: string) => fail("USAGE", { why, see: `imagelink image ${verb} --help` })
  if (storageConfig === undefined) {
    if (path === undefined) throw usage("name the image's file, or give --storage and --storage-config")
    return storage === undefined
      ? { path: placeText(path) }
      : { storage: { kind: storage, config: { path: resolve(path) } } }
  }
  if (path !== undefined) throw usage("give a path or --storage-config, not both")
  try {
    const config: unknown = JSON.parse(storageConfig)
    if (typeof config === "object" && config !== null && !Array.isArray(config))
      return { storage: { kind: storage ?? "file", config: config as Record<string, unknown> } }
  } catch {
    // told below, as for any JSON that is no object
  }
  throw usage(`--storage-config is a JSON object, not ${storageConfig}`)
}

export const add = async (options: AddOptions, name: string, path: string | undefined): Promise<void> => {
  const place = placeOf(options, path, "add")
  const view = await progressView(`checking ${name}`, options.json === true)
  await withSite(options, true, async (site) => {
    const input = {
      name,
      ...place,
      check: options.check,
      ...(options.note === undefined ? {} : { note: options.note }),
    }
    const result = await site
      .call("image.add", input, { ...callOptions(options), signal: interruptible(), onProgress: view.report })
      .finally(view.end)
    printChanged(options, result, () => {
      for (const note of result.notes) print(`note: ${note}`)
      if (result.check)
        print(
          `${result.check.image}@${result.check.version} ${result.check.result}: ${count(result.check.clusters, "cluster")} of 64 KiB`,
        )
      if (!result.dryRun && !result.repeated) print(`next: imagelink client import FILE.csv --image ${name}`)
    })
  })
}

/** None while it is a draft. */
const currentOf = (r: ImageRow) => r.versions[r.current - 1]

const sizeOf = (r: ImageRow) => currentOf(r)?.sizeBytes ?? r.draftBytes ?? "0"

const columns: ReadonlyArray<Column<ImageRow>> = [
  { title: "IMAGE", value: (r) => r.name },
  { title: "CURRENT", align: "right", value: (r) => (r.current === 0 ? "draft" : `@${r.current}`) },
  { title: "SIZE", align: "right", value: (r) => bytes(Number(sizeOf(r))) },
  { title: "FORMAT", value: (r) => currentOf(r)?.format ?? "raw" },
  { title: "CHECKED", value: (r) => currentOf(r)?.checked ?? "-" },
  { title: "TIER", value: ({ tier }) => (tier.hot ? `${tier.kind}, hot` : tier.kind) },
  { title: "LINKS", align: "right", value: (r) => String(r.links) },
  { title: "SUPER CLIENT", value: (r) => (r.superClient === null ? "-" : r.superClient.name) },
  { title: "FILE", value: (r) => currentOf(r)?.files[0]?.path ?? "-" },
]

export const list = (options: CommonOptions): Promise<void> =>
  withSite(options, false, async (site) => {
    const rows = await site.call("image.list", {}, callOptions(options))
    if (options.json) printJson(rows)
    else print(rows.length === 0 ? "no images; add one: imagelink image add NAME PATH" : table(columns, rows))
  })

/** `NAME` or `NAME@VERSION`. */
const versionOf = (reference: string): { readonly name: string; readonly version?: number } => {
  const [, name = "", version] = /^([^@]*)(?:@(\d+))?$/.exec(reference) ?? []
  if (name === "") throw fail("IMAGE_NAME_INVALID", { name: reference })
  return { name, ...(version === undefined ? {} : { version: Number(version) }) }
}

const damageColumns: ReadonlyArray<Column<DamagedRange>> = [
  { title: "LBA", value: ({ lba: [first, last] }) => `${first}-${last}` },
  { title: "BYTES", value: ({ offset, length }) => `${offset}-${offset + length - 1}` },
  { title: "FILE", value: (r) => r.file },
  { title: "BACKUP", value: ({ backup }) => (backup ? `${backup.path} (${time(backup.madeAt)})` : "none known") },
]

const sayChecked = ({ image, version, mismatches, clusters, damage }: CheckAnswer): void => {
  const name = `${image}@${version}`
  const of = count(clusters, "cluster")
  if (mismatches === 0) print(`${name} verified: ${of} of 64 KiB match`)
  else print(`${name} DAMAGED: ${mismatches} of ${of} do not match\n${table(damageColumns, damage)}`)
}

/** The versions that a check is asked for, each as `NAME@V` or `NAME`. */
const checkedReferences = async (site: Site, options: CheckOptions, reference: string) => {
  const { name, version } = versionOf(reference)
  if (!options.all) return [reference]
  if (version !== undefined)
    throw fail("USAGE", { why: "--all reads every version; name the image alone", see: "imagelink image check --help" })
  const { image } = await site.call("image.show", { name }, callOptions(options))
  return image.versions.filter(({ retired }) => !retired).map(({ number }) => `${image.name}@${number}`)
}

/** Reads one version, or one after the other; what is damaged keeps none of the rest from being read. */
export const check = (options: CheckOptions, reference: string): Promise<void> =>
  withSite(options, false, async (site) => {
    const results: Array<CheckAnswer> = []
    const signal = interruptible()
    for (const one of await checkedReferences(site, options, reference)) {
      const view = await progressView(`checking ${one}`, options.json === true)
      const result = await site
        .call("image.check", versionOf(one), { ...callOptions(options), signal, onProgress: view.report })
        .finally(view.end)
      results.push(result)
      if (!options.json) sayChecked(result)
    }
    if (options.json) printJson(options.all ? results : results[0])
    const damaged = results.find(({ firstMismatch }) => firstMismatch !== null)
    if (damaged) throw new ImagelinkError(damaged.firstMismatch!)
  })

export const relocate = async (options: PlaceOptions, reference: string, path: string | undefined): Promise<void> => {
  const input = { ...versionOf(reference), ...placeOf(options, path, "relocate") }
  const view = await progressView(`comparing ${reference}`, options.json === true)
  await withSite(options, false, async (site) => {
    const result = await site
      .call("image.relocate", input, { ...callOptions(options), signal: interruptible(), onProgress: view.report })
      .finally(view.end)
    printChanged(options, result)
  })
}

export const remove = (options: CommonOptions, name: string): Promise<void> =>
  withSite(options, false, async (site) => {
    printChanged(options, await site.call("image.remove", { name }, callOptions(options)))
  })
