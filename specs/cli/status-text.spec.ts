import { describe, expect, it } from "vitest"
import { screenLines } from "../../adapters/cli/status-screen.ts"
import { age, statusLines } from "../../adapters/cli/status-text.ts"
import type { ClientStatus, Status } from "../../core/runtime/status.ts"

const idle = { sessions: 0, readBytesPerSecond: null, writtenBytesPerSecond: null, cacheHitShare: null }
const client = (n: number, more: Partial<ClientStatus> = {}): ClientStatus => ({
  ...{ client: `PC-${String(n).padStart(3, "0")}`, mac: `52:54:00:00:00:${n}`, address: null, state: "off" },
  ...{
    since: null,
    image: null,
    version: null,
    writtenBytes: null,
    stuck: null,
    error: null,
    rebootRequested: null,
    ...idle,
    ...more,
  },
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
          ...{ sessions: 1, readBytesPerSecond: 1536, writtenBytesPerSecond: 0, cacheHitShare: 0.999 },
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
      "CLIENT            STATE      FOR  IMAGE    WRITTEN   READ/S  WRITE/S  HITS  ADDRESS    TROUBLE",
      "PC-001            off          -  -              -        -        -     -  -",
      "PC-002            off          -  -              -        -        -     -  -",
      "PC-003            running  1 min  win11@3    8 KiB  1.5 KiB      0 B  99 %  10.0.0.13",
      "52:54:00:00:00:4  tftp     1 min  -              -        -        -     -  -          stuck: at tftp; no file?[2J",
    ])
  })
})

const running = { state: "running", since: 0, sessions: 1, readBytesPerSecond: 1048576, cacheHitShare: 1 } as const
const room = (clients: number, more: Partial<ClientStatus> = {}) =>
  status(Array.from({ length: clients }, (_, i) => client(i + 1, { ...running, ...more })))

describe("a terminal", () => {
  it("has a line for each PC where it is high enough, cut at its width", () => {
    const lines = screenLines(room(3), 65_000, 7, 12)
    expect(lines).toEqual([
      ...["imagelink 1.", "nbd 10.0.0.1", "3 clients: 3", "CLIENT  STAT"],
      ...["PC-001  runn", "PC-002  runn", "PC-003  runn"],
    ])
  })

  it("else has what each moves, side by side, downwards", () => {
    const lines = screenLines(room(3), 65_000, 6, 90)
    expect(lines.slice(3)).toEqual([
      "PC-001 running  1 min  1 MiB  -  100 %  PC-003 running  1 min  1 MiB  -  100 %",
      "PC-002 running  1 min  1 MiB  -  100 %",
    ])
  })

  it("of 24 lines and 80 columns shows a hundred PCs, one of them in trouble", () => {
    const { clients, ...rest } = room(100)
    const stuck = clients.with(41, { ...clients[41]!, stuck: "at tftp" })
    const lines = screenLines({ ...rest, clients: stuck }, 65_000, 23, 79)
    expect([lines.length, lines[3]]).toEqual([
      23,
      "PC-001 running  PC-021 running  PC-041 running  PC-061 running  PC-081 running",
    ])
    expect(lines[4]).toBe("PC-002 running  PC-022 running  PC-042!running  PC-062 running  PC-082 running")
    for (const { client } of clients) expect(lines.join("\n")).toContain(client)
  })

  it("says how many more there would be, and never has more lines than there are", () => {
    const lines = screenLines(room(101), 65_000, 23, 79)
    expect([lines.length, lines.at(-1)]).toEqual([23, "and 6 more"])
    expect(screenLines(room(2), 65_000, 4, 40).slice(3)).toEqual(["PC-001 running  PC-002 running"])
    expect(screenLines(room(2), 65_000, 4, 10).at(-1)).toBe("and 2 more")
    expect(screenLines(room(0), 65_000, 3, 79)).toHaveLength(3)
  })
})
