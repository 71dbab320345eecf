/** What is answered to options: each boundary, and nothing larger than what was asked. */
import { expect, it } from "vitest"
import { negotiate } from "../../adapters/tftp/negotiate.ts"
import type { TftpOption } from "../../adapters/tftp/packet.ts"

const bounds = { blksizeMax: 1468, windowBlocksMax: 64, windowBytesMax: 14_680 }
const answered = (...options: ReadonlyArray<TftpOption>) =>
  negotiate(options, 4321, bounds)
    .answers.map(([name, value]) => `${name}=${value}`)
    .join(" ")

it.each([
  ["blksize", "7", ""],
  ["blksize", "8", "blksize=8"],
  ["blksize", "1468", "blksize=1468"],
  ["blksize", "1469", "blksize=1468"],
  ["blksize", "65464", "blksize=1468"],
  ["blksize", "99999", "blksize=1468"],
  ["blksize", "-8", ""],
  ["blksize", "8.5", ""],
  ["blksize", "0x100", ""],
  ["blksize", "", ""],
  ["blksize", "1e3", ""],
  ["blksize", "9".repeat(16), ""],
  ["windowsize", "0", ""],
  ["windowsize", "1", "windowsize=1"],
  ["windowsize", "28", "windowsize=28"],
  ["windowsize", "29", "windowsize=28"],
  ["windowsize", "65535", "windowsize=28"],
  ["windowsize", "65536", ""],
  ["timeout", "0", ""],
  ["timeout", "1", "timeout=1"],
  ["timeout", "255", "timeout=255"],
  ["timeout", "256", ""],
  ["tsize", "0", "tsize=4321"],
  ["tsize", "1", "tsize=4321"],
  ["tsize", "x", ""],
  ["multicast", "", ""],
  ["__proto__", "1", ""],
  ["constructor", "1", ""],
])("%s=%s is answered with '%s'", (name, value, expected) => {
  expect(answered([name, value])).toBe(expected)
})

it("answers in the order that was asked, and leaves out what it does not know", () => {
  expect(answered(["tsize", "0"], ["utimeout", "5"], ["windowsize", "64"], ["blksize", "1468"])).toBe(
    "tsize=4321 windowsize=10 blksize=1468",
  )
})

it("gives a window of one block where no second one fits", () => {
  const agreed = negotiate(
    [
      ["blksize", "65464"],
      ["windowsize", "4"],
    ],
    1,
    { ...bounds, blksizeMax: 65_464 },
  )
  expect([agreed.blksize, agreed.windowsize]).toEqual([65_464, 1])
})
