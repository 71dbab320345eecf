/** atftp, busybox and tftp-hpa fetch from a real `imagelink serve`: options, tolerant names, block numbers that wrap; and many at once. */
import { createHash } from "node:crypto"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { fetchTftp } from "../../adapters/tftp/client.ts"
import { type Served, scratch, startServe } from "../support/cli.ts"
import { runBounded } from "../support/network.ts"
import { patterned } from "../support/random.ts"
import { requires } from "../support/requires.ts"

const atftp = requires("atftp", "atftp")
const busybox = requires("busybox", "busybox")
const hpa = requires("tftp", "tftp-hpa")

const folder = scratch("tftp-clients")
const data = join(folder, "data")
const boot = join(data, "boot")
const MiB = 2 ** 20
const odd = patterned(100_001, 2)
/** 65,539 blocks of 512 bytes: the number of the last but three is 0. */
const wraps = patterned(32 * MiB + 3 * 512 - 1, 3)
let server: Served
let port = 0
let made = 0

beforeAll(async () => {
  mkdirSync(join(boot, "EFI"), { recursive: true })
  writeFileSync(join(boot, "EFI", "Odd.efi"), odd)
  writeFileSync(join(boot, "wraps.bin"), wraps)
  server = await startServe(data, ["--tftp-port", "0", "--nbd-port", "off", "--log-level", "debug"])
  port = Number(server.listeners.tftp?.split(":")[1])
})
afterAll(async () => {
  expect(await server.stop()).toBe(0)
})

const hash = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

/** What a command wrote to the file that it was given. */
const fetched = async (command: (out: string) => ReadonlyArray<string>): Promise<string> => {
  const out = join(folder, `got-${made++}`)
  const { output } = await runBounded(command(out), 60)
  try {
    return hash(readFileSync(out))
  } catch {
    return `nothing: ${output}`
  }
}

const byAtftp =
  (file: string, ...options: ReadonlyArray<string>) =>
  (out: string) => [
    ...["atftp", ...options.flatMap((option) => ["--option", option])],
    ...["-g", "-r", file, "-l", out, "127.0.0.1", `${port}`],
  ]
const byBusybox =
  (file: string, ...options: ReadonlyArray<string>) =>
  (out: string) => ["busybox", "tftp", ...options, "-g", "-r", file, "-l", out, "127.0.0.1", `${port}`]
const byHpa = (file: string) => (out: string) => {
  const get = ["-c", "get", file, out]
  return ["tftp", "-4", "-m", "binary", "127.0.0.1", `${port}`, ...get]
}

describe.skipIf(atftp.skip)("atftp", () => {
  it.each([
    ["without options", []],
    ["in blocks of 1468 bytes, told the size", ["blksize 1468", "tsize 0"]],
    ["in blocks of 8 bytes", ["blksize 8"]],
    ["in blocks of 65464 bytes", ["blksize 65464"]],
    ["in windows of eight", ["blksize 1468", "windowsize 8"]],
  ] as const)("fetches %s", async (_, options) => {
    expect(await fetched(byAtftp("EFI/Odd.efi", ...options))).toBe(hash(odd))
  })
  it("is answered its options as it asked them", async () => {
    await expect
      .poll(() => server.stderr(), { timeout: 10_000 })
      .toContain('EFI/Odd.efi: 100001 bytes tsize=100001 blksize=1468"')
    await expect.poll(() => server.stderr(), { timeout: 10_000 }).toContain('blksize=1468 windowsize=8"')
  })
})

describe.skipIf(busybox.skip)("busybox", () => {
  it.each([
    ["as it is", "EFI/Odd.efi"],
    ["with a slash before it", "/EFI/Odd.efi"],
    ["as Windows' loaders write it", "\\EFI\\odd.EFI"],
    ["with the .0 of some ROMs", "efi/odd.efi.0"],
  ])("finds a name %s", async (_, name) => {
    expect(await fetched(byBusybox(name, "-b", "1468"))).toBe(hash(odd))
  })
})

describe.skipIf(hpa.skip)("tftp-hpa", () => {
  it("fetches more than 65,535 blocks: their numbers begin again at 0", async () => {
    expect(await fetched(byHpa("wraps.bin"))).toBe(hash(wraps))
  }, 90_000)
})

it("a client fetches more than 65,535 blocks in windows", async () => {
  const { bytes } = await fetchTftp({ host: "127.0.0.1", port, file: "wraps.bin", blksize: 512, windowsize: 64 })
  expect(hash(bytes)).toBe(hash(wraps))
}, 90_000)
