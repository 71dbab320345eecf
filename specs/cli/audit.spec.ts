/** The auditor's way through the command line, with and without a server. */
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { beforeAll, describe, expect, it, vi } from "vitest"
import { openProof } from "../../core/log/tiles/proof.ts"
import { imagelink, json, refusal, scratch, startServe } from "../support/cli.ts"

const folder = scratch("audit")
const data = join(folder, "data")
const ok = async (args: ReadonlyArray<string>, at = data): Promise<string> => {
  const { status, stdout, stderr } = await imagelink(["audit", ...args], { data: at })
  // how far it came is told on stderr
  expect({ status, stderr: stderr.replace(/^(exporting|verifying) .*: \d+ of \d+\n/gm, "") }).toEqual({
    status: 0,
    stderr: "",
  })
  return stdout
}
const refused = async (args: ReadonlyArray<string>, at = data) => {
  const run = await imagelink(["audit", ...args, "--json"], { data: at })
  return { exit: run.status, ...refusal(run) }
}
const add = async (n: number, at = data) => {
  const mac = `52:54:00:00:00:${n.toString(16).padStart(2, "0")}`
  expect((await imagelink(["client", "add", mac], { data: at })).status).toBe(0)
}
const old = join(folder, "old.note")

beforeAll(async () => {
  for (const n of [1, 2, 3]) await add(n)
}, 30_000)

describe("without a server", () => {
  it("verifies a log of which nothing was published, and publishes nothing by that", async () => {
    expect(await ok(["verify"])).toMatch(/^holds: 3 events, root \S{44}; nothing is published yet\n$/)
    expect(existsSync(join(data, "tlog"))).toBe(false)
  })

  it("prints the checkpoint, the same one until something is recorded", async () => {
    const note = await ok(["checkpoint"])
    expect(note.split("\n")[1]).toBe("3")
    expect(await ok(["checkpoint"])).toBe(note)
    expect(readFileSync(join(data, "tlog/checkpoint"), "utf8")).toBe(note)
    writeFileSync(old, note)
  })

  it("proves an event in a file that opens with the printed key alone", async () => {
    const [, name = "", base64 = ""] = /^([^+]+)\+[0-9a-f]{8}\+(\S+)\n$/.exec(await ok(["key"])) ?? []
    const out = join(folder, "2.tlog-proof")
    expect(await ok(["prove", "2", "--out", out])).toBe(`${out}: event 2 is in the log of 3 events\n`)
    const key = { name, publicKey: Buffer.from(base64, "base64").subarray(1) }
    const proved = openProof(readFileSync(out, "utf8"), key)
    const line = (await imagelink(["log", "--json"], { data })).stdout.split("\n")[1]
    expect(proved).toEqual({ index: 1, entry: Buffer.from(line!), size: 3 })
    expect(await ok(["prove", "2"])).toBe(readFileSync(out, "utf8"))
  })

  it.each(["0", "4"])("refuses to prove position %s of three", async (position) => {
    expect(await refused(["prove", position])).toMatchObject({ exit: 1, code: "POSITION_NOT_FOUND" })
  })

  it.each(["-1", "1.5", "x", ""])("refuses %j as a position", async (position) => {
    expect((await imagelink(["audit", "prove", "--", position], { data })).status).toBe(2)
  })

  it("proves that the log extends an older checkpoint, and itself", async () => {
    expect(await ok(["consistency", old])).toContain(`extends: the 3 events of ${old} are the first of today's 3,`)
    await add(4)
    expect(await ok(["consistency", old])).toContain("are the first of today's 4,")
    const answer = await json<{ proof: ReadonlyArray<string> }>(["audit", "consistency", old], { data })
    expect(answer.proof.length).toBeGreaterThan(0)
  })

  it("refuses a note of another key, of another origin, and what is no note", async () => {
    const other = join(folder, "other")
    await add(1, other)
    const foreign = join(folder, "foreign.note")
    writeFileSync(foreign, await ok(["checkpoint"], other))
    const renamed = join(folder, "renamed.note")
    writeFileSync(renamed, `x${readFileSync(old, "utf8")}`)
    for (const file of [foreign, renamed, join(folder, "missing.note"), join(data, "store/head")])
      expect(await refused(["consistency", file]), file).toMatchObject({ exit: 1, code: "NOTE_REFUSED" })
  })

  it("refuses an older log under a kept checkpoint, and to sign over what was published", async () => {
    const copy = join(folder, "copy")
    const before = join(folder, "before")
    cpSync(data, before, { recursive: true })
    await add(5)
    const note = join(folder, "new.note")
    writeFileSync(note, await ok(["checkpoint"]))
    expect(await refused(["consistency", note], before)).toMatchObject({
      exit: 3,
      code: "AUDIT_FAILED",
      message: "the log does not hold at position 5",
    })
    cpSync(data, copy, { recursive: true })
    rmSync(join(copy, "store"), { recursive: true })
    cpSync(join(before, "store"), join(copy, "store"), { recursive: true })
    expect(await refused(["verify"], copy)).toMatchObject({ exit: 3, message: "the log does not hold at position 5" })
    await add(6, copy)
    for (const args of [["checkpoint"], ["prove", "1"]])
      expect(await refused(args, copy)).toMatchObject({ exit: 3, code: "LOG_FORKED" })
    expect(readFileSync(join(copy, "tlog/checkpoint"), "utf8")).toBe(readFileSync(note, "utf8"))
    expect((await imagelink(["serve", "--nbd-port", "off", "--json"], { data: copy })).status).toBe(3)
  }, 60_000)

  it("tells two histories of one site apart by their checkpoints, at the same size and later", async () => {
    const [left, right] = [join(folder, "left"), join(folder, "right")]
    for (const at of [left, right]) cpSync(data, at, { recursive: true })
    await add(20, left)
    await add(21, right)
    const note = join(folder, "left.note")
    writeFileSync(note, await ok(["checkpoint"], left))
    for (const n of [22, 23]) {
      expect(await refused(["consistency", note], right)).toMatchObject({ exit: 3, code: "AUDIT_FAILED" })
      await add(n, right)
    }
    expect(await ok(["consistency", old], right)).toContain("extends: the 3 events")
  }, 60_000)

  it("says that there is no data where there is none, and makes none", async () => {
    for (const args of [["key"], ["checkpoint"], ["verify"], ["prove", "1"], ["consistency", old]])
      expect(await refused(args, join(folder, "nothing"))).toMatchObject({ exit: 1, code: "DATA_NOT_FOUND" })
    expect(existsSync(join(folder, "nothing"))).toBe(false)
  }, 30_000)
})

describe("with a server", () => {
  it("publishes what is appended, by itself, and at the stop", async () => {
    const server = await startServe(data)
    const size = () => readFileSync(join(data, "tlog/checkpoint"), "utf8").split("\n")[1]
    await add(7)
    await vi.waitFor(() => expect(size()).toBe("6"), { timeout: 10_000 })
    expect(await ok(["verify"])).toContain("agree with all of them")
    expect(await ok(["consistency", old])).toContain("are the first of today's 6,")
    await add(8)
    expect(await server.stop()).toBe(0)
    expect(size()).toBe("7")
    expect(server.stderr()).toBe("")
  }, 60_000)
})

describe("archives", () => {
  const archive = join(folder, "log.tar")
  const nowhere = join(folder, "nowhere")
  const verify = (...args: ReadonlyArray<string>) => ["verify", "--archive", archive, ...args]

  it("are exported, with and without a server, and verified where there is no data", async () => {
    const key = (await ok(["key"])).trim()
    expect(await ok(["export", archive])).toMatch(/^\S+log\.tar: 7 events, root \S{44}, \d+(\.\d)? KiB\ncheck it/)
    const bytes = readFileSync(archive)
    const server = await startServe(data)
    expect(await refused(["export", archive])).toMatchObject({ exit: 1, code: "FILE_EXISTS" })
    await ok(["export", archive, "--force"])
    await server.stop()
    expect(readFileSync(archive).equals(bytes)).toBe(true)
    expect(await ok(verify("--key", key, "--checkpoint", old), nowhere)).toMatch(
      /^holds: 7 events, root \S{44}; tiles and signed checkpoint agree; it extends the 3 events of \S+\n$/,
    )
    expect(await ok(verify(), nowhere)).toContain("that key is the archive's own")
    const answer = await json(["audit", ...verify()], { data: nowhere })
    expect(answer).toMatchObject({ size: 7, key, keyGiven: false })
    expect(existsSync(nowhere)).toBe(false)
  }, 60_000)

  it("that were changed fail, with exit 3", async () => {
    const bytes = readFileSync(archive)
    const at = bytes.indexOf('"position":5')
    bytes[at + 1]! ^= 1
    writeFileSync(archive, bytes)
    expect(await refused(verify(), nowhere)).toMatchObject({
      exit: 3,
      code: "ARCHIVE_DAMAGED",
      message: `${archive}: the log does not hold at position 5`,
    })
  }, 30_000)

  it("and their options go together", async () => {
    expect((await imagelink(["audit", "verify", "--key", "x"], { data })).status).toBe(2)
    expect(await refused(verify("--key", "x"), nowhere)).toMatchObject({ exit: 2, code: "USAGE" })
    expect(await refused(verify("--checkpoint", nowhere), nowhere)).toMatchObject({ exit: 1, code: "NOTE_REFUSED" })
  }, 30_000)
})
