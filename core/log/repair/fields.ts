/**
 * The command and the position of an event, from its canonical bytes, without parsing the rest.
 *
 * **Details** Canonical JSON has its keys in order: actor, at, command, data, position. In a string every quote has a backslash before it, so
 * `,"command":"` first stands before the data, and `,"position":` last behind it.
 */
const commandKey = ',"command":"'
const positionKey = ',"position":'
const uuidChars = 36
const digitsMax = 16

const buffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

export const commandOf = (event: Uint8Array): string => {
  const b = buffer(event)
  const from = b.indexOf(commandKey) + commandKey.length
  return b.toString("latin1", from, from + uuidChars)
}

/** Undefined for bytes that have none. */
export const positionOf = (event: Uint8Array): number | undefined => {
  const b = buffer(event)
  const at = b.lastIndexOf(positionKey)
  if (at < 0) return undefined
  const from = at + positionKey.length
  const digits = /^\d+(?=,)/.exec(b.toString("latin1", from, from + digitsMax))?.[0]
  return digits === undefined ? undefined : Number(digits)
}
