import { readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { emptyHead, openHead } from "../../core/log/head.ts"
import { discard, temporary } from "./support/store.ts"

const commandOf = (position: number) => `01a204d2-871d-7fc3-bf36-${String(position % 10 ** 12).padStart(12, "0")}`

describe("the head file", () => {
  let dir: string
  let path: string
  beforeEach(() => {
    dir = temporary("head")
    path = join(dir, "head")
    writeFileSync(path, emptyHead())
  })
  afterEach(() => discard(dir))

  const write = (...positions: ReadonlyArray<number>) => {
    const head = openHead(path, { write: true })
    for (const position of positions) head.write(position, commandOf(position))
    head.close()
  }
  const position = () => {
    const head = openHead(path, { write: false })
    head.close()
    return head.position()
  }

  it("begins at 0 and remembers the last position written, across openings", () => {
    expect(position()).toBe(0)
    write(1)
    expect(position()).toBe(1)
    write(2, 3, 2 ** 53 - 1)
    expect(position()).toBe(2 ** 53 - 1)
    expect(statSync(path).size).toBe(1024)
  })

  it("remembers which command the event there was of", () => {
    const command = () => {
      const head = openHead(path, { write: false })
      head.close()
      return head.command()
    }
    expect(command()).toBe("")
    write(1, 2)
    expect(command()).toBe("01a204d2-871d-7fc3-bf36-000000000002")
  })

  it("is two slots of 512 bytes, as drawn", () => {
    write(7)
    const bytes = readFileSync(path)
    // the new file's sequences are 0 and 1; the next write goes to the even slot
    expect(bytes.subarray(0, 24).toString("hex")).toBe("494c48440000000100000000000000020000000000000007")
    expect(bytes.subarray(512, 536).toString("hex")).toBe("494c48440000000100000000000000010000000000000000")
    expect(bytes.subarray(24, 60).toString("latin1")).toBe("01a204d2-871d-7fc3-bf36-000000000007")
    expect(bytes.subarray(60, 508).every((b) => b === 0)).toBe(true)
  })

  it("says where the log was one append before, wherever the last write was torn", () => {
    write(5, 6)
    const whole = readFileSync(path)
    const newest = whole.readBigUInt64BE(8) > whole.readBigUInt64BE(520) ? 0 : 512
    write(7)
    const after = readFileSync(path)
    const older = newest === 0 ? 512 : 0
    for (let kept = 0; kept <= 512; kept++) {
      // the first `kept` bytes of the slot are new, the rest is what was there
      const torn = Buffer.from(whole)
      after.copy(torn, older, older, older + kept)
      writeFileSync(path, torn)
      expect([6, 7], `torn after ${kept} bytes`).toContain(position())
    }
  })

  it("still answers with any one byte flipped, from the other slot", () => {
    write(5, 6)
    const whole = readFileSync(path)
    for (let at = 0; at < whole.length; at++) {
      const bad = Buffer.from(whole)
      bad[at]! ^= 0x10
      writeFileSync(path, bad)
      expect([5, 6]).toContain(position())
    }
  })

  it.each([
    ["both slots garbled", Buffer.alloc(1024, 1)],
    ["zeros", Buffer.alloc(1024)],
    ["an empty file", Buffer.alloc(0)],
    ["half a slot", Buffer.from(emptyHead().subarray(0, 256))],
  ])("is refused when it is %s", (_name, bytes) => {
    writeFileSync(path, bytes)
    expect(() => position()).toThrow(expect.objectContaining({ code: "STORE_DAMAGED" }))
  })
})
