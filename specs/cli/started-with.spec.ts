/** What a running server was told, read from its process. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { expect, it } from "vitest"
import { flagsIn, startedWith } from "../../adapters/cli/started-with.ts"

it("flags are read in both spellings, the last one wins, and words of other things are passed over", () => {
  const words = [
    "--address",
    "10.0.0.1",
    "--http-port=8080",
    "--json",
    "--http-port",
    "80",
    "--frobnicate",
    "1",
    "--dhcp",
  ]
  expect(flagsIn(words, "/")).toEqual({ address: "10.0.0.1", "http-port": "80" })
  expect(flagsIn([], "/")).toEqual({})
  expect(flagsIn(["--boot-files=", "--address=a=b"], "/srv")).toEqual({ "boot-files": "/srv", address: "a=b" })
})

it("paths are those of where it was started", () => {
  const words = ["--boot-files", "boot", "--config", "/etc/imagelink.toml", "--interface", "eth1"]
  expect(flagsIn(words, "/srv")).toEqual({
    "boot-files": "/srv/boot",
    config: "/etc/imagelink.toml",
    interface: "eth1",
  })
})

it("a process is asked for its flags after serve, and its own part of the environment", async () => {
  const words = [
    "--eval",
    "console.log(1); setInterval(() => {}, 1000)",
    "--",
    "--address",
    "no",
    "serve",
    "--boot-files",
    "boot",
  ]
  const env = { PATH: process.env.PATH, IMAGELINK_CACHE: "64M=", SECRET: "no" }
  const child = spawn(process.execPath, words, { cwd: "/usr", env, stdio: ["ignore", "pipe", "inherit"] })
  await once(child.stdout, "data")
  expect(startedWith(child.pid!)).toEqual({
    flags: { "boot-files": "/usr/boot" },
    environment: { IMAGELINK_CACHE: "64M=" },
  })
  child.kill()
  await once(child, "close")
  expect(startedWith(child.pid!)).toEqual({ flags: {}, environment: {} })
})
