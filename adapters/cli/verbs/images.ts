/** `imagelink image …` */
import { resolve } from "node:path"
import { fail, ImagelinkError } from "../../../core/errors.ts"
import type { ImageRow } from "../../../core/projections/image-versions.ts"
import type { CommonOptions } from "../options.ts"
import { bytes, type Column, count, print, printJson, table } from "../output.ts"
import { progressView } from "../progress.ts"
import { callOptions, interruptible, withSite } from "../site.ts"
import { printChanged } from "./changed.ts"

interface PlaceOptions extends CommonOptions {
  readonly storage?: string
  readonly storageConfig?: string
}

interface AddOptions extends PlaceOptions {
  readonly note?: string
  readonly check: boolean
}

/** Where the image's bytes are: a local file, or whatever a storage plugin's configuration says. */
const placeOf = ({ storage, storageConfig }: PlaceOptions, path: string | undefined, verb: "add" | "relocate") => {
  const usage = (why: string) => fail("USAGE", { why, see: `imagelink image ${verb} --help` })
  if (storageConfig === undefined) {
    if (path === undefined) throw usage("name the image's file, or give --storage and --storage-config")
    return storage === undefined
      ? { path: resolve(path) }
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

export const check = async (options: CommonOptions, reference: string): Promise<void> => {
  const input = versionOf(reference)
  const view = await progressView(`checking ${reference}`, options.json === true)
  await withSite(options, false, async (site) => {
    const result = await site
      .call("image.check", input, { ...callOptions(options), signal: interruptible(), onProgress: view.report })
      .finally(view.end)
    if (options.json) printJson(result)
    else if (result.firstMismatch === null)
      print(`${result.image}@${result.version} verified: ${count(result.clusters, "cluster")} of 64 KiB match`)
    else
      print(
        `${result.image}@${result.version} DAMAGED: ${result.mismatches} of ${count(result.clusters, "cluster")} do not match`,
      )
    if (result.firstMismatch !== null) throw new ImagelinkError(result.firstMismatch)
  })
}

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
