/**
 * One attempt of a PC to boot, from its first sign of life to its login: which stages it has reached, and when. Pure.
 *
 *     dhcp ─► tftp or http ─► (iPXE's own dhcp) ─► menu ─► script ─► login ─► running
 *
 * **Details** A stage's time is when it was reached: `tftp` is the end of the boot program's transfer. Offers count when they come first, for a PC asks
 * again; programs and scripts when they come last, for the last is the one that runs.
 *
 * A sign belongs to another boot than the one before it when it comes after too long a silence, or when it begins what this one has behind it:
 * a PC that is asked for its firmware's boot program again has been switched off in between.
 */
import { limits } from "../limits.ts"
import type { Boot } from "./boot-recorder.ts"
import type { BootSign } from "./boot-signs.ts"
import { type MachineModel, modelText } from "./machine-model.ts"

export type StageName = "offer" | "tftp" | "http" | "ipxe" | "menu" | "script" | "login" | "first read"

export interface Mark {
  readonly name: StageName
  readonly at: number
}

export type OnTheWay = "dhcp" | "tftp" | "http" | "menu" | "script" | "local"

export interface Attempt {
  /** First sign of life; UTC milliseconds, as all times here. */
  readonly began: number
  /** Last one. */
  readonly at: number
  readonly state: OnTheWay
  /** When it came to be in that state. */
  readonly since: number
  /** In order of time. */
  readonly marks: ReadonlyArray<Mark>
  readonly firmware: string | null
  /** An iPXE that nobody sent is the firmware itself, in the card's ROM. */
  readonly rom: boolean
  readonly address: string | undefined
  /** A boot program is being sent to it. */
  readonly fetching: boolean
  /** Name of the boot id that its last script had. */
  readonly boot: string | undefined
}

/** Nothing is known but that it is there. */
export const newAttempt = (at: number): Attempt => ({
  began: at,
  at,
  state: "dhcp",
  since: at,
  marks: [],
  firmware: null,
  rom: false,
  address: undefined,
  fetching: false,
  boot: undefined,
})

export const has = ({ marks }: Attempt, name: StageName): boolean => marks.some((mark) => mark.name === name)

/** The marks with one more, in place of an earlier one of its name. */
export const withMark = (marks: ReadonlyArray<Mark>, name: StageName, at: number): ReadonlyArray<Mark> => [
  ...marks.filter((mark) => mark.name !== name),
  { name, at },
]

export const inState = (attempt: Attempt, state: OnTheWay, at: number): Attempt =>
  attempt.state === state ? { ...attempt, at } : { ...attempt, at, state, since: at }

/** Somebody at the screen may take their time. */
export const isOver = ({ at, state }: Attempt, now: number): boolean =>
  now - at > (state === "menu" ? limits.bootMenuSecondsMax : limits.bootSilenceSecondsMax) * 1000

type Offered = Extract<BootSign, { type: "offered" }>

/** Whether an answer of DHCP is the next step of this attempt. */
const goesOn = (attempt: Attempt, { by, discover }: Offered, now: number): boolean => {
  if (isOver(attempt, now)) return false
  if (!discover) return true
  if (by === "ipxe") return ["dhcp", "tftp", "http"].includes(attempt.state)
  return attempt.state === "dhcp" && !attempt.rom && !has(attempt, "ipxe")
}

export const offered = (before: Attempt | undefined, sign: Offered, now: number): Attempt => {
  const attempt = before !== undefined && goesOn(before, sign, now) ? before : newAttempt(now)
  const { by, address = attempt.address, firmware } = sign
  const rom = attempt.rom || (by === "ipxe" && attempt.marks.length === 0)
  const name = by === "ipxe" && !rom ? "ipxe" : "offer"
  const marks = has(attempt, name) ? attempt.marks : withMark(attempt.marks, name, now)
  return { ...attempt, at: now, address, firmware: attempt.firmware ?? firmware, rom, marks }
}

type Transfer = Extract<BootSign, { type: "fetching" | "fetched" }>

/** What iPXE fetches for itself is no boot program, nor what a system fetches. */
const isProgram = (attempt: Attempt): boolean =>
  ["dhcp", "tftp", "http"].includes(attempt.state) && !has(attempt, "ipxe")

/** A server learns of a transfer's end by its client's last word, which may come after the program began to ask for itself. */
const withLateMark = (attempt: Attempt, name: StageName): Attempt => {
  const after = attempt.marks.findIndex((mark) => mark.name !== "offer")
  const marks = attempt.marks.toSpliced(after, 0, { name, at: attempt.marks[after]!.at })
  return { ...attempt, fetching: false, marks }
}

/** A transfer that goes on for long is still that of the attempt it was begun for. */
export const transferred = (before: Attempt | undefined, sign: Transfer, now: number): Attempt | undefined => {
  const { type, over, address } = sign
  const ends = type === "fetched" && before?.fetching === true
  const attempt = before !== undefined && (ends || !isOver(before, now)) ? before : newAttempt(now)
  if (!isProgram(attempt)) return ends && !has(attempt, over) ? withLateMark(attempt, over) : before
  const marks = type === "fetched" ? withMark(attempt.marks, over, now) : attempt.marks
  return { ...inState(attempt, over, now), marks, address, fetching: type === "fetching" }
}

type Scripted = Extract<BootSign, { type: "script" }>

export const scripted = (before: Attempt | undefined, sign: Scripted, now: number): Attempt => {
  const { plan, boot, address, model } = sign
  const attempt = before === undefined || isOver(before, now) || before.state === "local" ? newAttempt(now) : before
  const state = plan === "menu" || plan === "local" ? plan : "script"
  const marks = withMark(attempt.marks, plan === "menu" ? "menu" : "script", now)
  return { ...inState(attempt, state, now), marks, boot, address, firmware: withModel(attempt.firmware, model) }
}

/** iPXE fetches its script again from a menu, and when a boot has failed. */
const withModel = (firmware: string | null, model: MachineModel | undefined): string | null => {
  if (model === undefined) return firmware
  const said = modelText(model)
  return firmware === null || firmware.endsWith(said) ? (firmware ?? said) : `${firmware}, ${said}`
}

/** Which stage a boot that goes no further has not reached, for whoever looks for the reason. */
export const stoppedText = ({ marks, state, rom }: Attempt): string => {
  switch (marks.at(-1)?.name) {
    case undefined:
      return state === "dhcp" ? "it asks for an address and is offered none" : "its boot program is not sent to the end"
    case "offer":
      if (state !== "dhcp") return "its boot program is not sent to the end"
      return rom
        ? "it was offered an address, and asks for no script"
        : "it was offered an address, and fetches no boot program"
    case "tftp":
    case "http":
      return "it has its boot program, which does not ask for an address"
    case "ipxe":
      return "its boot program was offered an address, and asks for no script"
    default:
      return "it has its script, and does not log in at its disk"
  }
}

/** As ClientBooted has them. */
export const stagesOf = (began: number, marks: ReadonlyArray<Mark>): Boot["stages"] =>
  marks.map(({ name, at }) => ({ name, millis: Math.max(0, Math.round(at - began)) }))
