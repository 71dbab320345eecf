/** The verbs about what is hot in an image. */
import { readFile, writeFile } from "node:fs/promises"
import { fail } from "../../../core/errors.ts"
import type { ImageHeatAnswer } from "../../../core/runtime/site/image-tiers.ts"
import type { Site } from "../../../core/runtime/site.ts"
import { diskMap } from "../disk-map.ts"
import type { CommonOptions } from "../options.ts"
import { bytes, type Column, count, print, printJson, table, time } from "../output.ts"
import { progressView } from "../progress.ts"
import { callOptions, interruptible, withSite } from "../site.ts"

interface HeatOptions extends CommonOptions {
  readonly export?: string
  readonly import?: string
  readonly force?: boolean
}

const see = "imagelink image heat --help"

export const showHeat = (options: HeatOptions, name: string): Promise<void> => {
  if (options.export !== undefined && options.import !== undefined)
    throw fail("USAGE", { why: "--export or --import, not both", see })
  if (options.force && options.export === undefined) throw fail("USAGE", { why: "--force goes with --export", see })
  return withSite(options, false, async (site) => {
    if (options.export !== undefined) return exportHeat(site, options, name, options.export)
    if (options.import !== undefined) return importHeat(site, options, name, options.import)
    const answer = await site.call("image.heat", { name }, callOptions(options))
    if (options.json) printJson(answer)
    else printHeat(answer)
  })
}

const exportHeat = async (site: Site, options: HeatOptions, name: string, file: string): Promise<void> => {
  const { image, bytes: text } = await site.call("heat.export", { name }, callOptions(options))
  const content = Buffer.from(text, "base64")
  await writeFile(file, content, { flag: options.force ? "w" : "wx" }).catch((e: NodeJS.ErrnoException) => {
    const why = e.code === "EEXIST" ? `${file} is there already; --force replaces it` : `${file}: ${e.message}`
    throw fail("USAGE", { why, see })
  })
  if (options.json) printJson({ image, file, sizeBytes: content.length })
  else print(`wrote the heat of ${image} to ${file}, ${bytes(content.length)}`)
}

const importHeat = async (site: Site, options: HeatOptions, name: string, file: string): Promise<void> => {
  const content = await readFile(file).catch((e: Error) => {
    throw fail("USAGE", { why: `${file} cannot be read: ${e.message}`, see })
  })
  const input = { name, bytes: content.toString("base64") }
  const answer = await site.call("heat.import", input, callOptions(options))
  if (options.json) return printJson(answer)
  print(`took ${count(answer.recordings, "recording")} for ${answer.image}, ${count(answer.clusters, "cluster")}`)
  print(`next: imagelink image place ${answer.image} --tier ramdisk --hot`)
}

type Label = ImageHeatAnswer["labels"][number]

const covers =
  (share: number) =>
  ({ covers: all }: Label) =>
    bytes(all.find((c) => c.share === share)?.bytes ?? 0)

const columns: ReadonlyArray<Column<Label>> = [
  { title: "LABEL", value: (l) => l.label },
  { title: "RECORDED", align: "right", value: (l) => String(l.recorded) },
  { title: "KEPT", align: "right", value: (l) => String(l.kept) },
  { title: "LAST", value: (l) => (l.lastAt === null ? "-" : time(l.lastAt)) },
  { title: "50 %", align: "right", value: covers(50) },
  { title: "90 %", align: "right", value: covers(90) },
  { title: "99 %", align: "right", value: covers(99) },
  { title: "100 %", align: "right", value: covers(100) },
]

const printHeat = ({ image, sizeBytes, labels, booting, partBytes, parts }: ImageHeatAnswer): void => {
  if (booting > 0) print(`${count(booting, "boot")} of ${image} ${booting === 1 ? "is" : "are"} being recorded now`)
  if (labels.length === 0) {
    print(`nothing is known yet of what is hot in ${image}`)
    if (booting === 0) print("next: boot a client from it while a server runs")
    return
  }
  const hot = parts.reduce((sum, part) => sum + part, 0)
  print(`${image}: ${bytes(hot)} of ${bytes(sizeBytes)} were read in what is kept of its recordings`)
  print(diskMap(parts, partBytes, sizeBytes))
  print(table(columns, labels))
  print("the last columns: the fewest bytes that cover this share of the reads")
}

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 }

const secondsOf = (text: string | undefined): number => {
  const [, number, unit = ""] = /^(\d{1,6})([smh])$/.exec(text ?? "") ?? []
  if (number !== undefined && Number(number) > 0) return Number(number) * SECONDS[unit]!
  const why = text === undefined ? "say how long: --for 5m" : `${JSON.stringify(text)} is no time: 90s, 5m or 1h`
  throw fail("USAGE", { why, see: "imagelink image record --help" })
}

export const record = async (
  options: CommonOptions & { readonly label?: string; readonly for?: string },
  name: string,
): Promise<void> => {
  const { label } = options
  if (label === undefined)
    throw fail("USAGE", { why: "say what it is: --label launch", see: "imagelink image record --help" })
  const seconds = secondsOf(options.for)
  const view = await progressView(`recording ${label} of ${name}`, options.json === true)
  await withSite(options, false, async (site) => {
    const answer = await site
      .call(
        "image.record",
        { name, label, seconds },
        { ...callOptions(options), signal: interruptible(), onProgress: view.report },
      )
      .finally(view.end)
    if (options.json) return printJson(answer)
    const { image, clients, clusters, bytes: read } = answer
    print(
      `${image}: ${count(clients, "client")} read ${bytes(read)} in ${count(clusters, "cluster")}, kept as ${label}`,
    )
    print(`next: imagelink image place ${image} --tier ramdisk --hot`)
  })
}
