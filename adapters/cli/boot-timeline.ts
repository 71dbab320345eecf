/**
 * A boot as a timeline of two lines: what was booted, and how long each stage took.
 *
 *     2026-11-23 05:01:41Z  PC-001  win11@1  discard  10.0.0.11  iscsi  UEFI x64
 *       TTTTTTTTTIIIIIIIIISSSLL  8.3 s: offer 0 ms, tftp 3.0 s, ipxe 3.0 s, script 1.0 s, login 1.0 s, first read 250 ms; slowest tftp
 *
 * **Details** A stage took as long as it was reached after the one before it. In the bar each has its first letter, as often as its share; a stage of
 * no length has none.
 */
import type { BootRow } from "../../core/projections/boot-history.ts"
import type { LiveBoot } from "../../core/runtime/live-boot.ts"
import { time } from "./output.ts"

type Stages = BootRow["stages"]

export interface StageTook {
  readonly name: string
  readonly millis: number
}

const BAR = 32

export const stagesTook = (stages: Stages): ReadonlyArray<StageTook> =>
  stages.map(({ name, millis }, i) => ({ name, millis: Math.max(0, millis - (stages[i - 1]?.millis ?? 0)) }))

/** The first of the longest; undefined where none took any time. */
export const slowestStage = (stages: Stages): StageTook | undefined => {
  const took = stagesTook(stages)
  const most = Math.max(0, ...took.map(({ millis }) => millis))
  return most === 0 ? undefined : took.find(({ millis }) => millis === most)
}

/** Its stages meet at rounded places, so that they fill it whatever their lengths. */
export const bar = (stages: Stages, width = BAR): string => {
  const whole = stages.at(-1)?.millis ?? 0
  if (whole === 0) return ""
  const place = (millis: number) => Math.round((Math.min(millis, whole) / whole) * width)
  let text = ""
  for (const { name, millis } of stages) text = text.padEnd(place(millis), name.charAt(0).toUpperCase())
  return text
}

export const duration = (millis: number): string => (millis < 1000 ? `${millis} ms` : `${(millis / 1000).toFixed(1)} s`)

const stagesLine = (stages: Stages): string => {
  const took = stagesTook(stages).map(({ name, millis }) => `${name} ${duration(millis)}`)
  const slowest = slowestStage(stages)
  const end = slowest === undefined ? "" : `; slowest ${slowest.name}`
  return `${bar(stages).padEnd(BAR)}  ${duration(stages.at(-1)!.millis)}: ${took.join(", ")}${end}`
}

/** What it is, without what it calls itself. */
const firmwareShort = (firmware: string | null): string => firmware?.replace(/ \(.*$/u, "") ?? "-"

export const bootLines = (b: BootRow): string => {
  const about = [
    b.client.name,
    `${b.image.name}@${b.version}`,
    b.overlay,
    b.address,
    b.protocol,
    firmwareShort(b.firmware),
  ]
  const head = [time(b.at), ...about].join("  ")
  return b.stages.length === 0 ? head : `${head}\n  ${stagesLine(b.stages)}`
}

/** Whether a boot has begun and is not at its end. */
export const isOnTheWay = ({ state }: LiveBoot): boolean => state !== "running" && state !== "off"

/** Where a boot stands, and why it goes no further. */
export const liveLines = (live: LiveBoot, now: number): string => {
  const { client, mac, state, since, address, firmware, stuck, error } = live
  const head = `${client ?? mac}  ${state} for ${duration(Math.max(0, Math.round(now - since)))}  ${address ?? "-"}  ${firmwareShort(firmware)}`
  const more = [...(stuck === null ? [] : [`stuck: ${stuck}`]), ...(error === null ? [] : [error.text])]
  return [head, ...more.map((line) => `  ${line}`)].join("\n")
}
