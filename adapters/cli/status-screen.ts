/**
 * A server's status on a terminal: every PC, if there is any way to show them all at once.
 *
 *     PC-001 running   PC-021 running   PC-041!tftp      PC-061 off
 *     PC-002 running   PC-022 running   PC-042 running   PC-062 off
 *
 * **Details** A line for each PC where there are so many lines. Else rows stand side by side: with what each moves, or, where that is too wide, with its
 * state alone. A hundred fit on 24 lines of 80 characters. A `!` stands at one in trouble.
 */
import type { ClientStatus, Status } from "../../core/runtime/status.ts"
import { type Column, table } from "./output.ts"
import { columns, headLines, statusLines } from "./status-text.ts"

const GAP = 2

const mark = ({ stuck, error }: ClientStatus): string => (stuck === null && error === null ? " " : "!")

/** What one PC is shown with, the most first. */
const cellsOf = (clients: ReadonlyArray<ClientStatus>, now: number): ReadonlyArray<ReadonlyArray<string>> => {
  const name = ({ client, mac }: ClientStatus): string => client ?? mac
  const longest = clients.reduce((most, client) => Math.max(most, name(client).length), 0)
  const standing = (client: ClientStatus): string => `${name(client).padEnd(longest)}${mark(client)}${client.state}`
  const moving: ReadonlyArray<Column<ClientStatus>> = [
    { title: "", value: standing },
    ...columns(now)
      .filter(({ title }) => ["FOR", "READ/S", "WRITE/S", "HITS"].includes(title))
      .map((column) => ({ ...column, title: "" })),
  ]
  return [table(moving, clients).split("\n").slice(1), clients.map(standing)]
}

/** Cells in columns that are read downwards, as many beside each other as there is room for. */
const beside = (cells: ReadonlyArray<string>, width: number): ReadonlyArray<string> => {
  const cell = cells.reduce((most, { length }) => Math.max(most, length), 0) + GAP
  const across = Math.max(1, Math.floor((width + GAP) / cell))
  const height = Math.ceil(cells.length / across)
  return Array.from({ length: height }, (_, line) =>
    cells
      .filter((_, i) => i % height === line)
      .map((text) => text.padEnd(cell))
      .join("")
      .trimEnd(),
  )
}

export const screenLines = (status: Status, now: number, rows: number, width: number): ReadonlyArray<string> => {
  const whole = statusLines(status, now)
  const cut = (lines: ReadonlyArray<string>) => lines.map((line) => line.slice(0, width))
  if (whole.length <= rows) return cut(whole)
  const head = headLines(status, now)
  const room = Math.max(1, rows - head.length)
  const [moving, standing] = cellsOf(status.clients, now)
  for (const cells of [moving!, standing!]) {
    const lines = beside(cells, width)
    if (lines.length <= room) return cut([...head, ...lines])
  }
  // As many of them as fill what there is, in their order.
  let shown = standing!.length
  while (shown > 0 && beside(standing!.slice(0, shown), width).length > room - 1) shown--
  return cut([...head, ...beside(standing!.slice(0, shown), width), `and ${standing!.length - shown} more`])
}
