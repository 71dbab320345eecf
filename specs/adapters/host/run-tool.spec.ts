/** A tool that is run: what it gets, what is taken of what it prints, and what stops it. */
import { closeSync, openSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { findTool, runTool, type ToolRun } from "../../../adapters/host/run-tool.ts"

const fd = openSync(import.meta.filename, "r")
const run = async (code: string, more: Partial<ToolRun> = {}) => {
  const lines: Array<string> = []
  const { signal } = new AbortController()
  const bounds = { millisMax: 60_000, outputBytesMax: 1000, signal, onLine: (line: string) => void lines.push(line) }
  const end = await runTool({ path: "/bin/sh", args: ["-c", code], fd, ...bounds, ...more })
  return { ...end, lines }
}

describe("a tool", () => {
  it("is read line by line, a last one without an end left out", async () => {
    expect(await run("printf 'a\\n\\nö\\nhalf'; echo oops >&2; exit 3")).toEqual({
      ...{ status: 3, said: "oops", lines: ["a", "", "ö"] },
    })
  })

  it("has the file open as number 3, no input, and nothing of the environment but where programs are", async () => {
    const { lines } = await run("head -c 3 <&3; echo; cat; env | cut -d= -f1 | sort")
    expect(lines.filter((name) => !["PWD", "SHLVL", "_", "OLDPWD"].includes(name))).toEqual([
      ...["/**", "LC_ALL", "PATH", "TZ"],
    ])
  })

  it("that prints too much is stopped, and so is one that takes too long", async () => {
    expect(await run("while :; do echo 123456789; done")).toMatchObject({
      ...{ status: null, bound: "it printed more than 1000 bytes" },
    })
    expect(await run("exec sleep 600", { millisMax: 20 })).toMatchObject({
      ...{ status: null, bound: "it took longer than 0.02 seconds" },
    })
    expect(await run("printf '%0999d\\n' 0")).toMatchObject({ status: 0, said: "" })
  })

  it("is stopped when nobody waits any more, before it began and while it runs", async () => {
    const gone = AbortSignal.abort()
    await expect(run("exit 0", { signal: gone })).rejects.toMatchObject({ code: "CANCELLED" })
    const abort = new AbortController()
    const onLine = () => abort.abort()
    await expect(run("echo x; exec sleep 600", { signal: abort.signal, onLine })).rejects.toMatchObject({
      code: "CANCELLED",
    })
  })

  it("is stopped by an error of whoever reads it, which is told", async () => {
    const onLine = () => {
      throw new RangeError("enough")
    }
    await expect(run("echo x; exec sleep 600", { onLine })).rejects.toThrow("enough")
  })

  it("is found in PATH and in the system's folders, but not in a folder that is relative", () => {
    expect(findTool("sh", "")).toMatch(/^\/(usr\/)?s?bin\/sh$/)
    expect(findTool("no-such-tool-imagelink")).toBeUndefined()
    expect(findTool("run-tool.spec.ts", "specs/adapters/host:.")).toBeUndefined()
  })
})

it("leaves the file to whoever opened it", async () => {
  await run("true")
  closeSync(fd)
})
