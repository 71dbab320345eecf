/**
 * A server's status as lines: about itself, how many PCs are in which state, and a table of them.
 *
 *     imagelink 0.1.0  up 2 h  position 1204  memory 312 MiB
 *     nbd 10.0.0.1:10809  iscsi 10.0.0.1:3260
 *     100 clients: 97 running, 1 tftp, 2 off
 */
import type { ClientStatus, Status } from "../../core/runtime/status.ts"
import { bytes, type Column, count, table } from "./output.ts"

/** The largest unit that there is one of: `45 s`, `3 min`, `2 h`, `9 d`. */
export const age = (millis: number): string => {
  const seconds = Math.max(0, Math.floor(millis / 1000))
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`
  return seconds < 86_400 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`
}

const trouble = ({ stuck, error, rebootRequested }: ClientStatus): string =>
  [
    ...(stuck === null ? [] : [`stuck: ${stuck}`]),
    ...(error === null ? [] : [error.text]),
    ...(rebootRequested === null ? [] : ["asked to boot anew"]),
  ]
    .join("; ")
    // A PC may have named a file with anything in it.
    .replaceAll(/\p{C}/gu, "?")

const orDash = (value: number | null, text: (value: number) => string): string => (value === null ? "-" : text(value))

const hits = ({ cacheHitShare }: ClientStatus): string =>
  orDash(cacheHitShare, (share) => `${Math.floor(share * 100)} %`)

export const columns = (now: number): ReadonlyArray<Column<ClientStatus>> => [
  { title: "CLIENT", value: ({ client, mac }) => client ?? mac },
  { title: "STATE", value: ({ state }) => state },
  { title: "FOR", align: "right", value: ({ since }) => (since === null ? "-" : age(now - since)) },
  { title: "IMAGE", value: ({ image, version }) => (image === null ? "-" : `${image}@${version}`) },
  { title: "WRITTEN", align: "right", value: ({ writtenBytes }) => orDash(writtenBytes, bytes) },
  { title: "READ/S", align: "right", value: ({ readBytesPerSecond }) => orDash(readBytesPerSecond, bytes) },
  { title: "WRITE/S", align: "right", value: ({ writtenBytesPerSecond }) => orDash(writtenBytesPerSecond, bytes) },
  { title: "HITS", align: "right", value: hits },
  { title: "ADDRESS", value: ({ address }) => address ?? "-" },
  { title: "TROUBLE", value: trouble },
]

/** One PC in a line of words. */
export const clientLine = (client: ClientStatus, now: number): string => {
  const { state, since, readBytesPerSecond: read, writtenBytesPerSecond: written, cacheHitShare, writtenBytes } = client
  const parts = [
    since === null ? state : `${state} for ${age(now - since)}`,
    ...(read === null || written === null ? [] : [`reads ${bytes(read)}/s, writes ${bytes(written)}/s`]),
    ...(cacheHitShare === null ? [] : [`${hits(client)} of its reads from memory`]),
    ...(writtenBytes === null ? [] : [`${bytes(writtenBytes)} written`]),
    trouble(client),
  ]
  return parts.filter((part) => part !== "").join("; ")
}

/** Most first; `off` is last whatever its number. */
const totals = (clients: ReadonlyArray<ClientStatus>): string => {
  const byState = Map.groupBy(clients, ({ state }) => state)
  const states = [...byState].sort(([a, as], [b, bs]) =>
    a === "off" || b === "off" ? Number(a === "off") - Number(b === "off") : bs.length - as.length,
  )
  const texts = states.map(([state, these]) => `${these.length} ${state}`)
  return [count(clients.length, "client"), ...(texts.length === 0 ? [] : [texts.join(", ")])].join(": ")
}

export const headLines = ({ server, listeners, clients }: Status, now: number): ReadonlyArray<string> => {
  const about = [
    `imagelink ${server.version}`,
    `up ${age(now - server.since)}`,
    `position ${server.position}`,
    `memory ${bytes(server.memoryBytes)}`,
  ]
  return [about.join("  "), listeners.map(({ protocol, at }) => `${protocol} ${at}`).join("  "), totals(clients)]
}

export const statusLines = (status: Status, now: number): ReadonlyArray<string> => {
  const head = headLines(status, now)
  const { clients } = status
  return clients.length === 0 ? head : [...head, ...table(columns(now), clients).split("\n")]
}
