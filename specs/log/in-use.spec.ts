import { spawn } from "node:child_process"
import { once } from "node:events"
import { statSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { expect, it } from "vitest"
import { lockHolder } from "../../core/log/lock-holder.ts"
import { discard, newStore, open } from "./support/store.ts"

const child = fileURLToPath(new URL("./support/crash-child.ts", import.meta.url))

it("a store that another process writes to is in use at every moment, and never looks damaged", async () => {
  const dir = await newStore("in-use")
  const writer = spawn(process.execPath, ["--conditions=source", child, dir, "100000", "small"])
  try {
    await once(writer.stdout, "data")
    writer.stdout.resume()
    // Each looks twenty times.
    const tries = Array.from({ length: 10 }, async (_, n) => {
      await new Promise((resolve) => setTimeout(resolve, 7 * n))
      await expect(open(dir), `try ${n}`).rejects.toMatchObject({ code: "DATA_IN_USE" })
    })
    await Promise.all(tries)
  } finally {
    writer.kill("SIGKILL")
    await once(writer, "close")
    discard(dir)
  }
})

it("a store that another process has for a moment is waited for", async () => {
  const dir = await newStore("in-use")
  const writer = spawn(process.execPath, ["--conditions=source", child, dir, "100000", "small"])
  try {
    await once(writer.stdout, "data")
    writer.stdout.resume()
    setTimeout(() => writer.kill("SIGKILL"), 300)
    const log = await open(dir)
    expect(writer.killed).toBe(true)
    await log.close()
  } finally {
    writer.kill("SIGKILL")
    discard(dir)
  }
})

it("the lock's holder is found by device and inode in the list of locks", async () => {
  const dir = await newStore("in-use")
  try {
    const path = join(dir, "store/db/LOCK")
    const { dev, ino } = statSync(path)
    const hex = (n: number) => n.toString(16).padStart(2, "0")
    const device = `${hex((dev >> 8) & 0xfff)}:${hex(dev & 0xff)}`
    const other = `1: POSIX  ADVISORY  WRITE 11 ${device}:${ino + 1} 0 EOF\n`
    const waiting = `2: -> POSIX  ADVISORY  WRITE 12 ${device}:${ino} 0 EOF\n`
    const reading = `3: POSIX  ADVISORY  READ 13 ${device}:${ino} 0 EOF\n`
    const held = `4: POSIX  ADVISORY  WRITE 3212 ${device}:${ino} 0 EOF\n`
    expect(lockHolder(path, other + waiting + reading + held)).toBe(3212)
    expect(lockHolder(path, other + waiting + reading)).toBeUndefined()
    expect(lockHolder(path, "")).toBeUndefined()
    expect(lockHolder(join(dir, "nothing"), held)).toBeUndefined()
  } finally {
    discard(dir)
  }
})
