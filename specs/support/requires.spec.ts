import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it, vi } from "vitest"
import { requires } from "./requires.ts"

it("a tool that is here is not skipped and says nothing", () => {
  const warn = vi.spyOn(console, "warn").mockImplementation(() => undefined)
  expect(requires("sh", "dash")).toEqual({ skip: false, reason: "" })
  expect(warn).not.toHaveBeenCalled()
  warn.mockRestore()
})

it("a tool that is not here is skipped aloud, with its package, and recorded", () => {
  const folder = mkdtempSync(join(tmpdir(), "imagelink-requires-"))
  const file = join(folder, "skips")
  const warn = vi.spyOn(console, "warn").mockImplementation(() => undefined)
  vi.stubEnv("IMAGELINK_SKIPS", file)
  try {
    const reason = "needs no-such-tool (Debian package no-such-package)"
    expect(requires("no-such-tool", "no-such-package")).toEqual({ skip: true, reason })
    const line = `SKIPPED requires.spec.ts: ${reason}`
    expect(warn.mock.calls).toEqual([[line]])
    expect(readFileSync(file, "utf8")).toBe(`${line}\n`)
  } finally {
    vi.unstubAllEnvs()
    warn.mockRestore()
    rmSync(folder, { recursive: true, force: true })
  }
})
