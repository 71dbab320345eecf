/** A client list with anything wrong in it is refused whole, and every bad line is named with its reason. */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { readClients } from "../../adapters/cli/csv.ts"
import { renderError } from "../../adapters/cli/exit.ts"
import { openSite } from "../../adapters/compose.ts"
import { fail, ImagelinkError } from "../../core/errors.ts"
import type { Actor } from "../../core/log/event-log.ts"
import type { Site } from "../../core/runtime/site.ts"
import { events, imagelink, scratch } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"

const folder = scratch("rejects")
const data = join(folder, "data")
const image = rawImage(folder, "win11.raw", 64 * 1024)
const actor: Actor = { kind: "cli", name: "operator" }
const path = join(folder, "clients.csv")
const write = (content: string | Buffer): string => {
  writeFileSync(path, content)
  return path
}
const mac = (n: number) => `52:54:00:00:00:${n.toString(16).padStart(2, "0")}`

/** What reading the shape of the file has against it. */
const shapeOf = (content: string | Buffer): ReadonlyArray<string> => {
  try {
    readClients(write(content))
  } catch (e) {
    if (!(e instanceof ImagelinkError) || e.code !== "IMPORT_REJECTED") throw e
    return e.details
  }
  return []
}

describe("the shape of the file", () => {
  it("needs a header row and rows", () => {
    expect(shapeOf("")).toEqual(["the file has no rows"])
    expect(shapeOf("\n\n# nothing but a comment\n")).toEqual(["the file has no rows"])
    expect(shapeOf("mac,name\n")).toEqual(["the file has no rows below its header"])
    expect(shapeOf("mac,name\n# none yet\n")).toEqual(["the file has no rows below its header"])
  })

  it("is refused without the column mac, with unknown columns, and with a column twice, all at once", () => {
    expect(shapeOf(`52:54:00:00:00:01,PC-001\n`)).toEqual([
      'line 1: unknown column "52:54:00:00:00:01"; known are mac, name, ip, image',
      'line 1: unknown column "pc-001"; known are mac, name, ip, image',
      'line 1: the header row has no column "mac"',
    ])
    expect(shapeOf(`# a comment\nmac,mac,color\n${mac(1)},${mac(1)},red\n`)).toEqual([
      'line 2: unknown column "color"; known are mac, name, ip, image',
      "line 2: the column mac is there twice",
    ])
    expect(shapeOf(`mac,name,hostname\n${mac(1)},A,A\n`)).toEqual(["line 1: the column name is there twice"])
    expect(shapeOf(`mac,\n${mac(1)},A\n`)).toEqual(['line 1: unknown column ""; known are mac, name, ip, image'])
    expect(shapeOf(`mac,constructor\n${mac(1)},A\n`)).toEqual([
      'line 1: unknown column "constructor"; known are mac, name, ip, image',
    ])
  })

  it("names every row that has more or fewer fields than the header", () => {
    expect(shapeOf(`mac,name\n${mac(1)}\n${mac(2)},B\n\n${mac(3)},C,10.0.0.3\n`)).toEqual([
      "line 2: 1 fields where the header has 2",
      "line 5: 3 fields where the header has 2",
    ])
  })

  it("takes ten thousand rows and refuses one more", () => {
    const rows = (n: number) => `mac\n${Array.from({ length: n }, () => mac(1)).join("\n")}\n`
    expect(shapeOf(rows(10_000))).toEqual([])
    expect(shapeOf(rows(10_001))).toEqual(["the file has 10001 rows; at most 10000 are imported in one command"])
  })

  it("refuses a file of more bytes than are read, without reading it", () => {
    const size = 16 * 1024 * 1024 + 1
    expect(shapeOf(Buffer.alloc(size, "#"))).toEqual([`the file is ${size} bytes long; at most ${size - 1} are read`])
  })

  it("names the lines that are not UTF-8 or hold NUL bytes", () => {
    const latin1 = Buffer.from(`mac,name\n${mac(1)},M\xfcller\n${mac(2)},B\n${mac(3)},\xff\n`, "latin1")
    expect(shapeOf(latin1)).toEqual(["line 2: it is not UTF-8 text", "line 4: it is not UTF-8 text"])
    expect(shapeOf(`mac,name\n${mac(1)},A\0\n`)).toEqual(["line 2: it has a NUL byte"])
    expect(shapeOf(Buffer.from(`\ufeffmac\n${mac(1)}\n`, "utf16le"))[0]).toBe("line 1: it is not UTF-8 text")
  })

  it("names the line of a quote that is not closed", () => {
    expect(shapeOf(`mac,name\n"${mac(1)},A\n${mac(2)},B\n`)).toEqual([expect.stringMatching(/^line \d: .*quote/i)])
  })

  it("counts lines as an editor does, past comments, blank lines and quoted line breaks", () => {
    const rows = readClients(write(`# one\n\nmac,name\n${mac(1)},"A\nB"\n# six\n${mac(2)},C\r\n\r\n${mac(3)},D\n`))
    expect(rows.map((r) => [r.line, r.name])).toEqual([
      [4, "A\nB"],
      [7, "C"],
      [9, "D"],
    ])
  })

  it("answers a file that cannot be read as one that cannot be read", () => {
    const code = (file: string) => {
      try {
        readClients(file)
      } catch (e) {
        return (e as ImagelinkError).code
      }
    }
    mkdirSync(join(folder, "a-folder"))
    expect([code(join(folder, "missing.csv")), code(join(folder, "a-folder"))]).toEqual([
      "FILE_UNREADABLE",
      "FILE_UNREADABLE",
    ])
  })
})

describe("what the rows say", () => {
  let site: Site
  beforeAll(async () => {
    site = await openSite({ dataDir: data, create: true })
    await site.call("image.add", { name: "win11", path: image.path, check: false }, { actor })
    await site.call("client.add", { mac: mac(1), name: "PC-001", address: "10.0.0.1" }, { actor })
  })
  afterAll(() => site.close())

  const positions = async () => (await site.call("log", {}, { actor })).position
  const importing = async (content: string, commonImage?: string): Promise<ImagelinkError> => {
    const rows = readClients(write(content))
    const common = commonImage === undefined ? {} : { image: commonImage }
    const before = await positions()
    const refused = await site.call("client.import", { rows, file: "clients.csv", ...common }, { actor }).then(
      () => expect.fail("it was imported"),
      (e: ImagelinkError) => e,
    )
    expect(await positions()).toBe(before)
    return refused
  }

  it("is judged line by line, and one bad line refuses the file", async () => {
    const refused = await importing(
      [
        "mac,name,ip,image",
        `${mac(2)},PC-002,10.0.0.2,win11`,
        `52:54:00:00:00,PC-003,10.0.0.3,`,
        `${mac(4)},PC 004,10.0.0.4,`,
        `${mac(5)},PC-005,10.0.0.256,`,
        `${mac(6)},PC-006,10.0.0.6,win10`,
        `${mac(7)},PC-007,10.0.0.7,win11@2`,
        `${mac(2)},PC-008,10.0.0.8,`,
        `${mac(9)},pc-002,10.0.0.2,`,
        `${mac(10)},PC-001,10.0.0.10,`,
        `${mac(11)},PC-011,10.0.0.1,`,
        `${mac(1)},PC-012,10.0.0.12,`,
        `01:00:5e:00:00:01,PC-013,127.0.0.1,`,
        `,PC-014,,`,
      ].join("\n"),
    )
    expect(refused.code).toBe("IMPORT_REJECTED")
    expect(refused.message).toBe("clients.csv: 12 of 13 rows cannot be imported; nothing was imported")
    expect(refused.details).toEqual([
      'line 3: "52:54:00:00:00" is not a MAC address',
      'line 4: "PC 004" cannot be a client\'s name',
      'line 5: "10.0.0.256" is not an address a client can have',
      "line 6: there is no image win10",
      "line 7: image win11 has no version 2",
      "line 8: MAC 52:54:00:00:00:02 is also on line 2",
      "line 9: name pc-002 is also on line 2; address 10.0.0.2 is also on line 2",
      "line 10: the name PC-001 belongs to another client (52:54:00:00:00:01)",
      "line 11: the address 10.0.0.1 belongs to PC-001",
      "line 12: the MAC 52:54:00:00:00:01 belongs to PC-001; PC-001 is already registered, with address 10.0.0.1 and not with address 10.0.0.12",
      'line 13: "01:00:5e:00:00:01" is not a MAC address; "127.0.0.1" is not an address a client can have',
      'line 14: "" is not a MAC address',
    ])
  })

  it("is refused when the image for all rows is not there", async () => {
    expect((await importing(`mac\n${mac(3)}\n`, "win1")).message).toBe("there is no image win1")
  })

  it("refuses to move a kept overlay by an import", async () => {
    await site.call("image.add", { name: "linux", path: image.path, check: false }, { actor })
    await site.call("client.link", { clients: ["PC-001"], image: "win11", slot: 0, overlay: "keep" }, { actor })
    const refused = await importing(`mac,image\n${mac(3)},linux\n${mac(1)},linux\n`)
    expect(refused.details).toEqual(["line 3: PC-001 slot 0 keeps its writes over win11@1"])
  })
})

describe("on the terminal", () => {
  it("lists the bad lines above the error, on stderr alone, and makes no store", async () => {
    const fresh = join(folder, "fresh")
    write(`mac,name\nnot-a-mac,A\n${mac(2)},B\n${mac(2)},C\n`)
    const run = await imagelink(["client", "import", path], { data: fresh })
    expect(run).toEqual({
      status: 1,
      stdout: "",
      stderr: [
        'line 2: "not-a-mac" is not a MAC address',
        "line 4: MAC 52:54:00:00:00:02 is also on line 3",
        `error: ${path}: 2 of 3 rows cannot be imported; nothing was imported [IMPORT_REJECTED]`,
        "  cause: each bad line is listed above with its number and reason",
        "  fix: mend those lines and import the file again",
        "",
      ].join("\n"),
    })
    expect((await imagelink(["links"], { data: fresh })).stderr).toContain("[DATA_NOT_FOUND]")
    expect((await events(data)).map((e) => e.type)).not.toContain("OverlayReset")
  })

  it("says of a file without rows that it cannot be imported, not that one of none cannot", () => {
    expect(fail("IMPORT_REJECTED", { file: "a.csv", bad: 1, rows: 0 }).message).toBe(
      "a.csv cannot be imported; nothing was imported",
    )
  })

  it("lists a hundred bad lines and says how many more there are", () => {
    const details = (n: number) => Array.from({ length: n }, (_, i) => `line ${i + 2}: bad`)
    const text = (n: number) =>
      renderError(fail("IMPORT_REJECTED", { file: "a.csv", bad: n, rows: n }, { details: details(n) })).split("\n")
    expect(text(100)).toHaveLength(103)
    expect(text(101)).toHaveLength(104)
    expect(text(101)[100]).toBe("… and 1 more")
  })
})
