/** The verbs that move an image's clients from version to version. */
import type { EventData } from "../../../core/domain/events.ts"
import { fail } from "../../../core/errors.ts"
import { limits } from "../../../core/limits.ts"
import type { ImageDiffAnswer } from "../../../core/runtime/site/image-diff.ts"
import type { RamHeld } from "../../../core/runtime/site/image-tiers.ts"
import type { VersionNamed } from "../../../core/runtime/site/images.ts"
import type { Input } from "../../../core/runtime/site.ts"
import { parseBytes } from "../../../core/runtime/sizes.ts"
import { diskMap } from "../disk-map.ts"
import type { CommonOptions } from "../options.ts"
import { bytes, type Column, count, print, printJson, table } from "../output.ts"
import { progressView } from "../progress.ts"
import { callOptions, interruptible, withSite } from "../site.ts"
import { printChanged } from "./changed.ts"
import { printFileDiff } from "./file-diff.ts"
import { slotOf } from "./link-options.ts"

const versionNumber = (text: string, see: string): number => {
  const plain = text.replace(/^@/, "")
  if (/^[1-9]\d{0,8}$/.test(plain)) return Number(plain)
  throw fail("USAGE", { why: `${JSON.stringify(text)} is not a version number`, see })
}

export const rollback = (
  options: CommonOptions & { readonly to?: string; readonly note?: string },
  name: string,
): Promise<void> => {
  const input = {
    name,
    ...(options.to === undefined ? {} : { to: versionNumber(options.to, "imagelink image rollback --help") }),
    ...(options.note === undefined ? {} : { note: options.note }),
  }
  return withSite(options, false, async (site) => {
    const result = await site.call("image.rollback", input, callOptions(options))
    printChanged(options, result, () => {
      if (result.events.length > 0 && !result.dryRun)
        print("links that follow get it at their next boot; running and pinned clients stay where they are")
    })
  })
}

interface SuperOptions extends CommonOptions {
  readonly slot?: string
  readonly resume?: boolean
  readonly discardKept?: boolean
}

export const setSuper = (options: SuperOptions, client: string, image: string): Promise<void> => {
  const input = {
    client,
    image,
    ...(options.slot === undefined ? {} : { slot: slotOf(options.slot) }),
    ...(options.resume ? { resume: true } : {}),
    ...(options.discardKept ? { discardKept: true } : {}),
  }
  return withSite(options, false, async (site) => {
    const result = await site.call("client.set-super", input, callOptions(options))
    printChanged(options, result, () => {
      if (result.dryRun || result.events.length === 0) return
      print(`from its next boot on, what ${client} writes is kept`)
      print(`next: start ${client}, change what is to change, shut it down, then: imagelink image commit ${image}`)
    })
  })
}

export const clearSuper = (
  options: CommonOptions & { readonly image?: string; readonly keep?: boolean },
  client: string,
): Promise<void> => {
  const { image, keep } = options
  const input = { client, ...(image === undefined ? {} : { image }), ...(keep ? { keep: true } : {}) }
  return withSite(options, false, async (site) => {
    printChanged(options, await site.call("client.clear-super", input, callOptions(options)))
  })
}

const nextBootOf = (what: string) => {
  if (what === "none") return null
  if (what === "local" || what === "menu") return { kind: what } as const
  return { kind: "image", image: what } as const
}

/** `next-boot CLIENT... IMAGE|local|menu|none`: the last word is what they boot. */
export const nextBoot = (options: CommonOptions, words: ReadonlyArray<string>): Promise<void> => {
  const what = words.at(-1)
  const clients = words.slice(0, -1)
  if (what === undefined || clients.length === 0) {
    const why = "name one or more clients, and then what they boot once"
    throw fail("USAGE", { why, see: "imagelink client next-boot --help" })
  }
  return withSite(options, false, async (site) => {
    const input = { clients, to: nextBootOf(what) }
    printChanged(options, await site.call("client.next-boot", input, callOptions(options)))
  })
}

export const create = (
  options: CommonOptions & { readonly size?: string; readonly note?: string },
  name: string,
): Promise<void> => {
  const see = "imagelink image create --help"
  if (options.size === undefined) throw fail("USAGE", { why: "say how large: --size 64G", see })
  const sizeBytes = parseBytes(options.size)
  if (sizeBytes === undefined) throw fail("USAGE", { why: `${JSON.stringify(options.size)} is not a size`, see })
  const input = { name, sizeBytes, ...(options.note === undefined ? {} : { note: options.note }) }
  return withSite(options, true, async (site) => {
    const result = await site.call("image.create", input, callOptions(options))
    printChanged(options, result, () => {
      if (!result.dryRun && result.events.length > 0)
        print(`next: while a server runs, write to its export image/${name}, then: imagelink image seal ${name}`)
    })
  })
}

export const seal = (options: CommonOptions, name: string): Promise<void> =>
  withSite(options, false, async (site) => {
    printChanged(options, await site.call("image.seal", { name }, callOptions(options)))
  })

interface CommitOptions extends CommonOptions {
  readonly note?: string
  readonly whenOff?: boolean
  readonly fence?: boolean
}

export const commit = (options: CommitOptions, name: string): Promise<void> => {
  const { note, whenOff, fence } = options
  const input = {
    name,
    ...(note === undefined ? {} : { note }),
    ...(whenOff ? { whenOff: true } : {}),
    ...(fence ? { fence: true } : {}),
  }
  return withSite(options, false, async (site) => {
    const result = await site.call("image.commit", input, { ...callOptions(options), signal: interruptible() })
    printChanged(options, result, () => {
      const made = result.events[0]?.data as EventData<"ImageCommitted"> | undefined
      if (made === undefined) return
      const { layer, version } = made
      print(`${bytes(Number(layer.dataBytes))} of data, ${bytes(Number(layer.zeroBytes))} made zero`)
      if (result.dryRun || result.repeated) return
      print(
        `links that follow ${name} get @${version} at their next boot; take it back with: imagelink image rollback ${name}`,
      )
    })
  })
}

/** `NAME@VERSION`, or `NAME` for its current version. */
const versionNamed = (reference: string, see: string): VersionNamed => {
  const [name = "", version, ...more] = reference.split("@")
  if (name === "" || more.length > 0) throw fail("USAGE", { why: "name a version, as in win11@3", see })
  return version === undefined ? { name } : { name, version: versionNumber(version, see) }
}

const ROWS_DEFAULT = 20

const diffColumns: ReadonlyArray<Column<ImageDiffAnswer["runs"][number]>> = [
  { title: "OFFSET", align: "right", value: (run) => String(run.offset) },
  { title: "LENGTH", align: "right", value: (run) => String(run.length) },
  { title: "SIZE", align: "right", value: (run) => bytes(run.length) },
  { title: "KIND", value: (run) => run.kind },
]

export const diff = async (
  options: CommonOptions & { readonly limit?: string; readonly files?: boolean },
  fromText: string,
  toText: string,
): Promise<void> => {
  const see = "imagelink image diff --help"
  const { limit, files = false } = options
  if (limit !== undefined && !/^\d{1,9}$/.test(limit))
    throw fail("USAGE", { why: `${JSON.stringify(limit)} is not a number of ${files ? "files" : "runs"}`, see })
  const rows = limit === undefined ? (options.json ? limits.diffFilesListedMax : ROWS_DEFAULT) : Number(limit)
  const runsMax = files && !options.json ? 0 : limit === undefined && options.json ? undefined : rows
  const input = {
    ...{ from: versionNamed(fromText, see), to: versionNamed(toText, see) },
    ...(runsMax === undefined ? {} : { runsMax }),
    ...(files ? { filesMax: rows } : {}),
  }
  const view = await progressView("copying what files are listed from", options.json === true || !files)
  return withSite(options, false, async (site) => {
    const asked = { ...callOptions(options), signal: interruptible(), onProgress: view.report }
    const answer = await site.call("image.diff", input, asked).finally(view.end)
    if (options.json) printJson(answer)
    else printDiff(answer)
  })
}

const printDiff = (answer: ImageDiffAnswer): void => {
  const { image, from, to, sizeBytes, toldBy, runs, totals, partBytes, parts, files } = answer
  const pair = `${image}@${from} and @${to}`
  if (totals.runs === 0) {
    print(`${pair} are the same: ${toldBy === "layers" ? "no layer changed anything" : "all their checksums are"}`)
    return
  }
  if (toldBy === "checksums") print("told by their checksums, 64 KiB each: a version between them is retired")
  const { dataBytes, zeroBytes } = totals
  print(
    `${pair} differ in ${count(totals.runs, "run")}: ${bytes(dataBytes)} of data, ${bytes(zeroBytes)} of zeros in @${to}`,
  )
  print(diskMap(parts, partBytes, sizeBytes))
  if (files !== undefined) printFileDiff(files)
  else printRuns(runs, totals.runs)
}

const printRuns = (runs: ImageDiffAnswer["runs"], all: number): void => {
  if (runs.length > 0) print(table(diffColumns, runs))
  if (runs.length < all) print(`… and ${all - runs.length} more; --limit lists more of them`)
}

interface PlaceOptions extends CommonOptions {
  readonly tier?: string
  readonly hot?: boolean
  readonly share?: string
}

const placeInput = (name: string, { tier, hot = false, share }: PlaceOptions): Input<"image.place"> => {
  const usage = (why: string) => fail("USAGE", { why, see: "imagelink image place --help" })
  if (tier !== "ramdisk" && tier !== "file") throw usage("say where: --tier ramdisk, or --tier file")
  if (hot && tier === "file") throw usage("a hot zone is held in RAM: --tier ramdisk --hot")
  if (share !== undefined && !hot) throw usage("--share is a share of the reads that a hot zone covers: give --hot too")
  if (share !== undefined && !/^([1-9]\d?|100)$/.test(share))
    throw usage(`${JSON.stringify(share)} is not a share: 1 to 100, in per cent`)
  return { name, tier, ...(hot ? { hot } : {}), ...(share === undefined ? {} : { share: Number(share) }) }
}

/** Merges layers, with a progress bar; cancelling leaves everything as it was. */
export const flatten = async (
  options: CommonOptions & { readonly whole?: boolean },
  reference: string,
): Promise<void> => {
  const named = versionNamed(reference, "imagelink image flatten --help")
  const view = await progressView(`flattening ${reference}`, options.json === true)
  await withSite(options, false, async (site) => {
    const input = { ...named, ...(options.whole ? { whole: true } : {}) }
    const result = await site
      .call("image.flatten", input, { ...callOptions(options), signal: interruptible(), onProgress: view.report })
      .finally(view.end)
    printChanged(options, result, () => {
      const made = result.events[0]?.data as EventData<"ImageVersionFlattened"> | undefined
      if (made === undefined || result.dryRun) return
      print(
        `${bytes(Number(made.layer.dataBytes))} of data, ${bytes(Number(made.layer.zeroBytes))} made zero, in one file`,
      )
    })
  })
}

/** Waits until the image is in RAM, or out of it, where a server runs. */
export const place = async (options: PlaceOptions, name: string): Promise<void> => {
  const input = placeInput(name, options)
  const view = await progressView(`bringing ${name} into RAM`, options.json === true)
  await withSite(options, false, async (site) => {
    const result = await site
      .call("image.place", input, { ...callOptions(options), signal: interruptible(), onProgress: view.report })
      .finally(view.end)
    printChanged(options, result, () => {
      if (result.ram !== null) printHeld(name, result.ram)
      else if (!result.dryRun && site.via === "local") print("it takes effect when a server starts")
    })
  })
}

const printHeld = (name: string, { versions, bytes: taken, left }: RamHeld): void => {
  print(`in RAM: ${versions.map((v) => `@${v}`).join(", ")}, ${bytes(taken)}`)
  if (left === 0) return
  print(`note: ${count(left, "cluster")} could not be read, or not as recorded; reads of them go to the file`)
  print(`next: imagelink image check ${name}`)
}

/** `NAME@VERSION`. */
export const retire = (options: CommonOptions, reference: string): Promise<void> => {
  const [name = "", version = "", ...more] = reference.split("@")
  const see = "imagelink image retire --help"
  if (name === "" || version === "" || more.length > 0)
    throw fail("USAGE", { why: "name a version, as in win11@3", see })
  const input = { name, version: versionNumber(version, see) }
  return withSite(options, false, async (site) => {
    printChanged(options, await site.call("image.retire", input, callOptions(options)))
  })
}
