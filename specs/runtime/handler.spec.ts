import { createHash } from "node:crypto"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { describe, expect, it } from "vitest"
import type { Command, CommandBody } from "../../core/domain/commands.ts"
import { type ErrorCode, fail } from "../../core/errors.ts"
import { limits } from "../../core/limits.ts"
import { catalogueProjection } from "../../core/projections/catalogue.ts"
import { linkRows, linkTable } from "../../core/projections/link-table.ts"
import { sortKeys } from "../../core/projections/projection.ts"
import { makeProjector } from "../../core/projections/projector.ts"
import { makeHandler } from "../../core/runtime/handler.ts"
import {
  addImage,
  clientId,
  id,
  imageAdded,
  imageId,
  importRows,
  link,
  mac,
  pc,
  register,
  registered,
  resetOverlays,
} from "../support/domain.ts"
import { type MemoryLog, makeMemoryLog } from "../support/memory-log.ts"

const fingerprint = (body: CommandBody) =>
  createHash("sha256")
    .update(JSON.stringify(sortKeys(body)))
    .digest("hex")

const setUp = async (
  options: Parameters<typeof makeMemoryLog>[0] = {},
  wrap: (log: MemoryLog) => MemoryLog = (l) => l,
) => {
  const log = wrap(makeMemoryLog(options))
  const projector = makeProjector({ log, projections: [catalogueProjection, linkTable] })
  await Effect.runPromise(projector.start())
  const handler = makeHandler({ log, projector, fingerprint })
  const command = (n: number, body: CommandBody, more: Partial<Command> = {}): Command => ({
    id: id(9, n),
    at: n * 1000,
    actor: { kind: "cli", name: "alice" },
    dryRun: false,
    body,
    ...more,
  })
  const execute = (n: number, body: CommandBody, more: Partial<Command> = {}) =>
    Effect.runPromise(handler.execute(command(n, body, more)))
  const refused = async (code: ErrorCode, n: number, body: CommandBody, more: Partial<Command> = {}) => {
    const result = await Effect.runPromise(Effect.result(handler.execute(command(n, body, more))))
    expect(result).toMatchObject({ _tag: "Failure", failure: { code } })
  }
  return { log, projector, handler, command, execute, refused }
}

describe("a command", () => {
  it("is appended with its envelope, and shown to the projections before it is answered", async () => {
    const { log, projector, execute } = await setUp()
    expect(await execute(1, addImage(1))).toEqual({
      events: [
        {
          ...imageAdded(1),
          position: 1,
          command: id(9, 1),
          at: 1000,
          actor: { kind: "cli", name: "alice" },
          server: "server-1",
        },
      ],
      position: 1,
      repeated: false,
      dryRun: false,
    })
    await execute(2, register(1))
    await execute(3, link(["PC-001"], "win11"))
    expect([log.head(), linkRows(projector.state(linkTable)).length]).toEqual([3, 1])
  })
  it("that imports 100 clients is one command, 200 events and 100 rows of the link table", async () => {
    const { log, projector, execute } = await setUp()
    await execute(1, addImage(1))
    const rows = Array.from({ length: 100 }, (_, i) => ({ clientId: clientId(i), mac: mac(i + 1), name: pc(i + 1) }))
    const { events, position } = await execute(2, importRows(rows, "win11"))
    expect([events.length, position, log.head()]).toEqual([200, 201, 201])
    const commands = (await Effect.runPromise(log.page(1, 1000))).map((recorded) => recorded.command)
    expect(new Set(commands)).toEqual(new Set([id(9, 2)]))
    expect(linkRows(projector.state(linkTable)).map((row) => row.client)).toEqual(rows.map((row) => row.name))
  })
  it("that changes nothing appends nothing", async () => {
    const { log, execute } = await setUp()
    await execute(1, register(1))
    expect(await execute(2, register(1))).toEqual({ events: [], position: 1, repeated: false, dryRun: false })
    expect(log.head()).toBe(1)
  })
  it("that is refused appends nothing", async () => {
    const { log, refused, execute } = await setUp()
    await execute(1, register(1))
    await refused("CLIENT_MAC_TAKEN", 2, register(1, { name: "other" }))
    expect(log.head()).toBe(1)
  })
  it("dry shows what it would append, and appends nothing", async () => {
    const { log, projector, execute } = await setUp()
    expect(await execute(1, register(1), { dryRun: true })).toEqual({
      events: [registered(1)],
      position: 0,
      repeated: false,
      dryRun: true,
    })
    expect([log.head(), projector.state(catalogueProjection).clients.size]).toEqual([0, 0])
    expect((await execute(1, register(1))).repeated).toBe(false)
  })
  it("whose event would not be of its shape is a programmer's mistake, and appends nothing", async () => {
    const { log, handler, command } = await setUp()
    const body = addImage(1, "win11", { sizeBytes: "1 MiB" })
    const exit = await Effect.runPromise(Effect.exit(handler.execute(command(1, body))))
    expect(exit._tag === "Failure" && exit.cause.reasons.map((r) => r._tag)).toEqual(["Die"])
    expect(log.head()).toBe(0)
    const { events } = await Effect.runPromise(handler.execute(command(2, register(1))))
    expect(events).toHaveLength(1)
  })
})

describe("a command id used again", () => {
  it("is answered with what it appended, though the catalogue has changed since", async () => {
    const { log, execute } = await setUp()
    const first = await execute(1, register(1))
    await execute(2, register(2))
    expect(await execute(1, register(1))).toEqual({ ...first, position: 2, repeated: true })
    expect(log.head()).toBe(2)
  })
  it("is answered even where it would be refused today, or would renew something", async () => {
    const { log, execute } = await setUp()
    await execute(1, addImage(1))
    await execute(2, register(1))
    await execute(3, link(["PC-001"], "win11"))
    await execute(4, resetOverlays(["PC-001"]))
    expect([(await execute(4, resetOverlays(["PC-001"]))).repeated, log.head()]).toEqual([true, 4])
    expect((await execute(4, resetOverlays(["PC-001"]), { expectedPosition: 3 })).repeated).toBe(true)
    await execute(5, resetOverlays(["PC-001"]))
    expect(log.head()).toBe(5)
  })
  it("for another command is refused", async () => {
    const { execute, refused } = await setUp()
    await execute(1, register(1))
    await refused("COMMAND_REUSED", 1, register(2))
    await refused("COMMAND_REUSED", 1, register(1, { name: "PC-001" }))
  })
  it("sent twice at the same moment is carried out once", async () => {
    const { log, execute } = await setUp()
    const both = await Promise.all([execute(1, register(1)), execute(1, register(1))])
    expect([both.map((e) => e.repeated), log.head()]).toEqual([[false, true], 1])
  })
})

describe("an expected position", () => {
  it("at the head lets the command through", async () => {
    const { execute } = await setUp()
    expect((await execute(1, register(1), { expectedPosition: 0 })).position).toBe(1)
    expect((await execute(2, register(2), { expectedPosition: 1 })).position).toBe(2)
  })
  it("before or after the head refuses it, even if it would change nothing", async () => {
    const { execute, refused, log } = await setUp()
    await execute(1, register(1))
    await refused("LOG_CONFLICT", 2, register(2), { expectedPosition: 0 })
    await refused("LOG_CONFLICT", 3, register(2), { expectedPosition: 2 })
    await refused("LOG_CONFLICT", 4, register(1), { expectedPosition: 0 })
    await refused("LOG_CONFLICT", 5, register(2), { expectedPosition: 0, dryRun: true })
    expect(log.head()).toBe(1)
  })
})

describe("a log that moves on under the handler", () => {
  /** Someone else appends before each of the first `times` appends. */
  const busy = async (times: number) => {
    let log: MemoryLog | undefined
    let left = times
    let appends = 0
    const beforeAppend = () => {
      appends++
      if (left-- > 0) log!.push([registered(100 + left)])
    }
    const made = await setUp({ beforeAppend }, (l) => (log = l))
    return { ...made, appends: () => appends }
  }
  it("has the command decided again on what is there now", async () => {
    const { execute, projector } = await busy(1)
    const { events } = await execute(1, register(1, { name: "teacher" }))
    expect(events).toMatchObject([{ position: 2, data: { client: { name: "teacher" } } }])
    expect(projector.state(catalogueProjection).clients.size).toBe(2)
  })
  it("may make the command one that is refused", async () => {
    let log: MemoryLog | undefined
    const beforeAppend = () => void (log!.head() === 0 && log!.push([registered(9, "teacher")]))
    const { refused } = await setUp({ beforeAppend }, (l) => (log = l))
    await refused("CLIENT_NAME_TAKEN", 1, register(1, { name: "teacher" }))
  })
  it("is tried again as often as the limit says, and then given up", async () => {
    const last = await busy(limits.commandConflictRetriesMax)
    expect((await last.execute(1, register(1))).position).toBe(limits.commandConflictRetriesMax + 1)
    const past = await busy(limits.commandConflictRetriesMax + 1)
    await past.refused("LOG_CONFLICT", 1, register(1))
    expect(past.appends()).toBe(limits.commandConflictRetriesMax + 1)
  })
  it("is not tried again for a sender who named the position", async () => {
    const { refused, appends } = await busy(1)
    await refused("LOG_CONFLICT", 1, register(1), { expectedPosition: 0 })
    expect(appends()).toBe(1)
  })
  it("with an event nobody here knows stops commands, and not the projections", async () => {
    const { log, execute, refused, projector } = await setUp()
    await execute(1, register(1))
    log.push([{ type: "LabMoved", schemaVersion: 1, data: {} }])
    await refused("EVENT_UNKNOWN", 2, register(2))
    await refused("EVENT_UNKNOWN", 3, register(2), { dryRun: true })
    expect(projector.report().map((p) => p.position)).toEqual([1, 2])
  })
})

describe("commands at the same time", () => {
  it("are carried out one by one, and none is lost", async () => {
    const { execute, projector, log } = await setUp()
    await Promise.all(Array.from({ length: 50 }, (_, i) => execute(i, register(i + 1))))
    expect(log.head()).toBe(50)
    expect(new Set(projector.state(catalogueProjection).clientsByName.keys()).size).toBe(50)
  })
  it("go on after one that fails", async () => {
    const { execute, refused } = await setUp()
    await Promise.all([refused("CLIENT_MAC_INVALID", 1, register(1, { mac: "x" })), execute(2, register(2))])
    expect((await execute(3, register(3))).position).toBe(2)
  })
  it("go on after the log refuses to write, and nothing is shown that was not appended", async () => {
    let broken = true
    const { execute, refused, projector } = await setUp({}, (log) => ({
      ...log,
      append: (request) => (broken ? Effect.fail(fail("STORE_READ_ONLY", { why: "no space" })) : log.append(request)),
    }))
    await refused("STORE_READ_ONLY", 1, register(1))
    expect(projector.state(catalogueProjection).position).toBe(0)
    broken = false
    expect((await execute(1, register(1))).position).toBe(1)
  })
  it("one interrupted while it is appended is still shown to the projections", async () => {
    let open: () => void = () => {}
    let appending: () => void = () => {}
    const gate = new Promise<void>((resolve) => (open = resolve))
    const reached = new Promise<void>((resolve) => (appending = resolve))
    const { handler, command, projector } = await setUp({}, (log) => ({
      ...log,
      append: (request) =>
        Effect.andThen(
          Effect.promise(() => {
            appending()
            return gate
          }),
          log.append(request),
        ),
    }))
    const fiber = Effect.runFork(handler.execute(command(1, addImage(1))))
    await reached
    const interrupted = Effect.runPromise(Fiber.interrupt(fiber))
    open()
    await interrupted
    expect(projector.state(catalogueProjection).images.has(imageId(1))).toBe(true)
  })
})
