import { describe, expect, it } from "vitest"
import { age, fitted, statusLines } from "../../adapters/cli/status-text.ts"
import type { ClientStatus, Status } from "../../core/runtime/status.ts"

const client = (n: number, more: Partial<ClientStatus> = {}): ClientStatus => ({
  ...{ client: `PC-${String(n).padStart(3, "0")}`, mac: `52:54:00:00:00:${n}`, address: null, state: "off" },
  ...{ since: null, image: null, version: null, writtenBytes: null, stuck: null, error: null, ...more },
})
const status = (clients: ReadonlyArray<ClientStatus>): Status => ({
  server: { version: "1.2.3", since: 0, memoryBytes: 2 ** 30, position: 12 },
  listeners: [
    { protocol: "nbd", at: "10.0.0.1:10809" },
    { protocol: "control", at: "/run/socket" },
  ],
  clients,
})

describe("how long", () => {
  it.each([
    [-5, "0 s"],
    [59_999, "59 s"],
    [60_000, "1 min"],
    [3_599_999, "59 min"],
    [3_600_000, "1 h"],
    [86_399_999, "23 h"],
    [86_400_000, "1 d"],
  ])("%i ms is %s", (millis, text) => {
    expect(age(millis)).toBe(text)
  })
})

describe("a status as text", () => {
  it("is three lines where there is nobody", () => {
    expect(statusLines(status([]), 7_200_000)).toEqual([
      "imagelink 1.2.3  up 2 h  position 12  memory 1 GiB",
      "nbd 10.0.0.1:10809  control /run/socket",
      "0 clients",
    ])
  })

  it("has a row for each, the states counted with off last, and strangers by their MAC", () => {
    const lines = statusLines(
      status([
        client(1),
        client(2),
        client(3, {
          ...{ state: "running", since: 0, image: "win11", version: 3, writtenBytes: 8192, address: "10.0.0.13" },
        }),
        client(4, {
          client: null,
          state: "tftp",
          since: 5000,
          stuck: "at tftp",
          error: { at: 1, text: "no file\x1b[2J" },
        }),
      ]),
      65_000,
    )
    expect(lines.slice(2)).toEqual([
      "4 clients: 1 running, 1 tftp, 2 off",
      "CLIENT            STATE      FOR  IMAGE    WRITTEN  ADDRESS    TROUBLE",
      "PC-001            off          -  -              -  -",
      "PC-002            off          -  -              -  -",
      "PC-003            running  1 min  win11@3    8 KiB  10.0.0.13",
      "52:54:00:00:00:4  tftp     1 min  -              -  -          stuck: at tftp; no file?[2J",
    ])
  })
})

describe("a terminal", () => {
  const lines = ["one", "two", "three"]
  it("is given what fits, and how much more there would be", () => {
    expect(fitted(lines, 4, 80)).toEqual(lines)
    expect(fitted(lines, 3, 80)).toEqual(lines)
    expect(fitted(lines, 2, 80)).toEqual(["one", "and 2 more"])
    expect(fitted(lines, 3, 3)).toEqual(["one", "two", "thr"])
  })
})
