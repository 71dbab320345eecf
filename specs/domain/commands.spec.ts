import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import type { CommandBody } from "../../core/domain/commands.ts"
import { decodeBody, decodeCommand } from "../../core/domain/commands.ts"
import {
  addImage,
  change,
  checksums,
  clientId,
  copy,
  given,
  id,
  imageAdded,
  imageId,
  importRows,
  link,
  linked,
  mac,
  register,
  registered,
  relocate,
  removeClients,
  removeImage,
  resetOverlays,
  to,
  unlink,
} from "../support/domain.ts"

const why = (input: unknown) =>
  Result.match(decodeBody(input), { onSuccess: () => "accepted", onFailure: (e) => `${e.code}: ${e.reason}` })
const check = {
  type: "RecordCheck",
  imageId: imageId(1),
  version: 1,
  result: "mismatch",
  checksums: checksums(),
  mismatches: { count: 64, clusters: Array.from({ length: 64 }, (_, i) => i) },
} as const
const bodies: ReadonlyArray<CommandBody> = [
  addImage(1),
  check,
  register(1, { name: "PC-001", address: "10.0.0.1" }),
  importRows([{ mac: mac(1), name: "a", address: "b", image: "c" }], "win11"),
  copy("PC-001", [{ clientId: clientId(2), mac: mac(2) }]),
  link(["PC-001"], "win11@1", { overlay: "keep", discardKept: true }),
  unlink(["PC-001"]),
  resetOverlays(["PC-001"]),
  change("PC-001", { name: "PC-002", mac: mac(2), address: null }),
  relocate(1, "elsewhere"),
  removeImage(),
  removeClients(["PC-001"], { discardKept: true }),
]

describe("a body from outside", () => {
  it.each(bodies.map((body) => [body.type, body] as const))("%s comes through as it is", (_, body) => {
    expect(Result.getOrThrow(decodeBody(JSON.parse(JSON.stringify(body))))).toStrictEqual(body)
  })
  it.each(bodies.map((body) => [body.type, body] as const))(
    "%s with one key too many is refused, and the key named",
    (_, body) => {
      expect(why({ ...body, extra: 1 })).toMatch(/^COMMAND_INVALID: .*extra/)
    },
  )
  it("is refused in a nested object with one key too many", () => {
    expect(why({ ...importRows([]), rows: [{ line: 1, clientId: clientId(1), mac: "", vlan: "7" }] })).toContain("vlan")
  })
  it.each([
    undefined,
    null,
    1,
    "LinkClients",
    [],
    {},
    { type: 1 },
    { type: "Nothing" },
    { type: "toString" },
    { type: "__proto__" },
  ])("%j is no command", (input) => {
    expect(why(input)).toBe("COMMAND_INVALID: its type is not one of the known commands")
  })
  it("needs ids that are UUIDs in lower case", () => {
    expect(why(register(1, { clientId: "1" }))).toContain("clientId")
    expect(why(register(1, { clientId: clientId(10).toUpperCase() }))).toContain("clientId")
  })
  it("is bounded in every list and text", () => {
    const clients = (n: number) => Array.from({ length: n }, () => "a")
    expect(why(unlink(clients(10_000)))).toBe("accepted")
    expect(why(unlink(clients(10_001)))).toContain("clients")
    expect(why(register(1, { name: "x".repeat(1024) }))).toBe("accepted")
    expect(why(register(1, { name: "x".repeat(1025) }))).toContain("name")
    expect(why(importRows(Array.from({ length: 10_001 }, () => ({}))))).toContain("rows")
  })
  it("leaves malformed names, MACs and slots to the decider, which says more", () => {
    expect(why(register(1, { mac: "nonsense", name: "a b" }))).toBe("accepted")
    expect(why(unlink(["?"], 16))).toBe("accepted")
    expect(why(unlink(["?"], Number.NaN))).toContain("not finite")
  })
  it("is plain JSON all through, or the log could not hold it", () => {
    const config = (value: unknown) => why(addImage(1, "win11", { storage: { kind: "file", config: { deep: value } } }))
    expect(config({ list: [1, "a", null, true, {}] })).toBe("accepted")
    expect(config("\ud800")).toBe("COMMAND_INVALID: a text in it is not well-formed Unicode")
    expect(config({ "\udc00": 1 })).toBe("COMMAND_INVALID: a key in it is not well-formed Unicode")
    for (const key of ["\0", "a\nb", 'a"b', "a\\b"])
      expect(config({ [key]: 1 })).toBe("COMMAND_INVALID: a key in it has a quote, a backslash or a control character")
    expect(config([Number.NaN])).toBe("COMMAND_INVALID: a number in it is not finite")
    expect(config(undefined)).toBe("COMMAND_INVALID: a value in it is undefined, which JSON has not")
    expect(config(1n)).toBe("COMMAND_INVALID: a value in it is bigint, which JSON has not")
    expect(config(new Date(0))).toBe("COMMAND_INVALID: an object in it is not plain")
    expect(why(link(["PC-001\ud800"], "win11"))).toContain("not well-formed")
    const nested = (depth: number): unknown => (depth === 0 ? "end" : [nested(depth - 1)])
    // The body, its storage and that one's config are three levels already.
    expect(config(nested(13))).toBe("accepted")
    expect(config(nested(14))).toBe("COMMAND_INVALID: it is nested deeper than 16")
  })
  it("lists at most as many bad clusters as it counts, and 64", () => {
    expect(why({ ...check, mismatches: { count: 1, clusters: [1, 2] } })).toContain("more clusters")
    expect(why({ ...check, mismatches: { count: 65, clusters: Array.from({ length: 65 }, (_, i) => i) } })).toContain(
      "more clusters",
    )
  })
  it("does not call a version verified with mismatches, nor mismatched without", () => {
    expect(why({ ...check, result: "verified" })).toContain("disagree")
    expect(why({ ...check, mismatches: { count: 0, clusters: [] } })).toContain("disagree")
  })
})

describe("a whole command from outside", () => {
  const command = { id: id(9, 1), at: 1, actor: { kind: "cli", name: "alice" }, dryRun: false, body: unlink([]) }
  const refused = (input: unknown) => Result.isFailure(decodeCommand(input))
  it("comes through with and without an expected position", () => {
    expect(Result.getOrThrow(decodeCommand(command))).toEqual(command)
    expect(Result.getOrThrow(decodeCommand({ ...command, expectedPosition: 0 }))).toEqual({
      ...command,
      expectedPosition: 0,
    })
  })
  it("is refused for a fault in the envelope or in the body", () => {
    expect(refused({ ...command, at: -1 })).toBe(true)
    expect(refused({ ...command, at: 1.5 })).toBe(true)
    expect(refused({ ...command, id: "1" })).toBe(true)
    expect(refused({ ...command, actor: { kind: "root", name: "a" } })).toBe(true)
    expect(refused({ ...command, expectedPosition: -1 })).toBe(true)
    expect(refused({ ...command, extra: 1 })).toBe(true)
    expect(refused({ ...command, actor: { kind: "cli", name: "\ud800" } })).toBe(true)
    expect(refused({ ...command, body: {} })).toBe(true)
    expect(refused(null)).toBe(true)
  })
})

it("a command that comes to more events than fit is refused", () => {
  const targets = Array.from({ length: 10_000 }, (_, i) => ({ clientId: clientId(i + 2), mac: mac(i + 2) }))
  const source = [
    imageAdded(1),
    registered(1, "PC-00001"),
    ...[0, 1].map((slot) => linked(1, slot, to(1), null, "PC-00001")),
  ]
  const refused = given(...source)
    .when(copy("PC-00001", targets))
    .refused("COMMAND_INVALID")
  expect(refused.reason).toBe("it comes to 30000 events; at most 20000 fit in one command")
})
