/**
 * Parses envelopes one after the other, and of each only what it does not share with those before.
 *
 *     {"actor":{…},"at": │ 1795000000001,"command":"<UUID>","data":{…},"position":26 │ ,"schemaVersion":1,"server":"…","type":"…"}
 *      front: of an actor │                parsed for every event                     │ back: of a type of event
 *
 * **Details** Canonical JSON has the members in this order and writes each in one way (RFC 8785 §3.2), and what stands between a front and a
 * back is taken only where it is digits, a UUID, one JSON value and the expected position. So it says what parsing the whole would.
 * Anything else is parsed whole, and its front and back are remembered. A replay of the log spends most of its time on parsing, and half of an
 * event is its envelope.
 *
 * **Gotchas** Events share the objects and texts of their front and back.
 */
import type { Actor, Recorded } from "./event-log.ts"

interface Front {
  readonly text: string
  readonly actor: Actor
}

interface Back {
  readonly text: string
  readonly schemaVersion: number
  readonly server: string
  readonly type: string
}

/** Fronts and backs that are remembered: more than a log has types of events, or people at a time. */
const rememberedMax = 32
const beforeCommand = ',"command":"'
const beforeData = '","data":'
const beforePosition = ',"position":'
const uuidLength = 36
const uuid = /^[0-9a-f-]{36}$/
/** More would not be exact numbers. */
const digitsMax = 15

export class EnvelopeReader {
  readonly #fronts: Array<Front> = []
  readonly #backs: Array<Back> = []
  #command = ""

  /** What `JSON.parse` makes of `text`, which should be the event at `position`. @throws SyntaxError */
  parse(text: string, position: number): unknown {
    const front = this.#fronts.find((known) => text.startsWith(known.text))
    const back = this.#backs.find((known) => text.endsWith(known.text))
    const known = front && back && this.#between(text, position, front, back)
    return known ?? this.#whole(text)
  }

  #between(text: string, position: number, front: Front, back: Back): Recorded | undefined {
    const atEnd = text.indexOf(",", front.text.length)
    const commandAt = atEnd + beforeCommand.length
    const dataAt = commandAt + uuidLength + beforeData.length
    const positionEnd = text.length - back.text.length
    const dataEnd = positionEnd - `${position}`.length - beforePosition.length
    const at = digits(text, front.text.length, atEnd)
    const command = this.#commandAt(text, commandAt)
    const asExpected =
      dataAt < dataEnd &&
      text.startsWith(beforeCommand, atEnd) &&
      text.startsWith(beforeData, commandAt + uuidLength) &&
      text.startsWith(beforePosition, dataEnd) &&
      digits(text, dataEnd + beforePosition.length, positionEnd) === position
    if (!asExpected || at === undefined || command === undefined) return undefined
    const data = json(text.slice(dataAt, dataEnd))
    if (data === undefined) return undefined
    const { schemaVersion, server, type } = back
    return { actor: front.actor, at, command, data, position, schemaVersion, server, type }
  }

  /** The events of a command have one text of its id. */
  #commandAt(text: string, at: number): string | undefined {
    if (this.#command !== "" && text.startsWith(this.#command, at)) return this.#command
    const command = text.slice(at, at + uuidLength)
    if (!uuid.test(command)) return undefined
    this.#command = command
    return command
  }

  #whole(text: string): unknown {
    const event = JSON.parse(text) as Partial<Recorded> | null
    if (event?.actor && event.type) this.#remember(text, event as Recorded)
    return event
  }

  /** Made again from what was parsed, front and back are found in the text only if it is written as they should be. */
  #remember(text: string, { actor, schemaVersion, server, type }: Recorded): void {
    const front = `{"actor":${JSON.stringify(actor)},"at":`
    const back = `,"schemaVersion":${schemaVersion},"server":${JSON.stringify(server)},"type":${JSON.stringify(type)}}`
    if (text.startsWith(front)) keep(this.#fronts, { text: front, actor })
    if (text.endsWith(back)) keep(this.#backs, { text: back, schemaVersion, server, type })
  }
}

const keep = <Known extends Front | Back>(list: Array<Known>, known: Known): void => {
  if (list.some(({ text }) => text === known.text)) return
  if (list.length === rememberedMax) list.shift()
  list.push(known)
}

/** The whole number written in `[from, to)` of a text as JSON writes one, or undefined. */
const digits = (text: string, from: number, to: number): number | undefined => {
  if (to <= from || to - from > digitsMax) return undefined
  if (text.charCodeAt(from) === 0x30 && to - from > 1) return undefined
  let value = 0
  for (let i = from; i < to; i++) {
    const digit = text.charCodeAt(i) - 0x30
    if (digit < 0 || digit > 9) return undefined
    value = value * 10 + digit
  }
  return value
}

const json = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
