import { describe, expect, it } from "vitest"
import {
  isClientName,
  isImageName,
  isSlot,
  parseAddress,
  parseImageReference,
  parseMac,
} from "../../core/domain/names.ts"

describe("a MAC address", () => {
  it.each([
    "52:54:00:aa:bb:cc",
    "52:54:00:AA:BB:CC",
    "52-54-00-AA-BB-CC",
    "525400aabbcc",
    "525400AABBCC",
    "5254.00aa.bbcc",
    "5254-00aa-bbcc",
  ])("is read from %s", (text) => {
    expect(parseMac(text)).toBe("52:54:00:aa:bb:cc")
  })

  it.each([
    "",
    "52:54:00:aa:bb",
    "52:54:00:aa:bb:cc:dd",
    "52:54:00:aa:bb:c",
    "52:54:00:aa:bb:cg",
    "52:54-00:aa:bb:cc",
    "525400aabbc",
    "525400aabbccd",
    "5254.00aabbcc",
    "5254.00aa-bbcc",
    " 52:54:00:aa:bb:cc",
    "52:54:00:aa:bb:cc\n",
    "52 54 00 aa bb cc",
    "５２:54:00:aa:bb:cc",
  ])("is not read from %j", (text) => {
    expect(parseMac(text)).toBeUndefined()
  })

  it("is never all zeros, a group's, or the broadcast address", () => {
    expect(parseMac("00:00:00:00:00:00")).toBeUndefined()
    expect(parseMac("01:00:5e:00:00:01")).toBeUndefined()
    expect(parseMac("ff:ff:ff:ff:ff:ff")).toBeUndefined()
  })

  it("may be one bit away from all zeros", () => {
    expect(parseMac("00:00:00:00:00:01")).toBe("00:00:00:00:00:01")
    expect(parseMac("020000000000")).toBe("02:00:00:00:00:00")
    expect(parseMac("fe:ff:ff:ff:ff:ff")).toBe("fe:ff:ff:ff:ff:ff")
  })
})

describe("a client's name", () => {
  it.each(["a", "7", "PC-001", "teacher", "a--b", "x".repeat(63)])("may be %s", (name) => {
    expect(isClientName(name)).toBe(true)
  })
  it.each(["", "-a", "a-", "-", "a.b", "a_b", "ä", "a b", "a\n", "group:x", "a/0", "x".repeat(64)])(
    "may not be %j",
    (name) => {
      expect(isClientName(name)).toBe(false)
    },
  )
  it("may not read as a MAC in any spelling, usable or not", () => {
    for (const name of ["525400aabbcc", "52-54-00-aa-bb-cc", "5254-00aa-bbcc", "000000000000", "FFFFFFFFFFFF"]) {
      expect(isClientName(name), name).toBe(false)
    }
    expect(isClientName("525400aabbc")).toBe(true)
    expect(isClientName("525400aabbccd")).toBe(true)
  })
})

describe("an image's name", () => {
  it.each(["a", "win11-lab", "11", "-", "x".repeat(64)])("may be %s", (name) => {
    expect(isImageName(name)).toBe(true)
  })
  it.each(["", "Win11", "win_11", "win@1", "win.raw", "x".repeat(65), "525400aabbcc", "52-54-00-aa-bb-cc"])(
    "may not be %j",
    (name) => {
      expect(isImageName(name)).toBe(false)
    },
  )
})

describe("an image reference", () => {
  it("follows without a version and pins with one", () => {
    expect(parseImageReference("win11")).toEqual({ name: "win11", version: undefined })
    expect(parseImageReference("win11@3")).toEqual({ name: "win11", version: 3 })
    expect(parseImageReference("win11@999999999")).toEqual({ name: "win11", version: 999_999_999 })
  })
  it("keeps a version 0, so that the refusal can say which versions there are", () => {
    expect(parseImageReference("win11@0")).toEqual({ name: "win11", version: 0 })
  })
  it.each(["", "@1", "win11@", "win11@x", "win11@-1", "win11@01", "win11@1@2", "win11@1.5", "win11@9999999999"])(
    "is not %j",
    (text) => {
      expect(parseImageReference(text)).toBeUndefined()
    },
  )
})

it("a slot is a whole number from 0 to 15", () => {
  expect([0, 1, 15].map(isSlot)).toEqual([true, true, true])
  expect([-1, 16, 1.5, Number.NaN, Number.POSITIVE_INFINITY].map(isSlot)).toEqual([false, false, false, false, false])
})

describe("an address", () => {
  it.each(["1.0.0.0", "10.0.0.1", "126.255.255.255", "128.0.0.1", "192.168.10.255", "223.255.255.255"])(
    "may be %s",
    (text) => {
      expect(parseAddress(text)).toBe(text)
    },
  )
  it.each([
    "",
    "0.0.0.0",
    "0.1.2.3",
    "127.0.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "10.0.0.256",
    "10.0.0",
    "10.0.0.1.2",
    "10.0.0.01",
    "010.0.0.1",
    "10.0.0.1/24",
    " 10.0.0.1",
    "10.0.0.1\n",
    "::1",
    "0x0a.0.0.1",
  ])("may not be %j", (text) => {
    expect(parseAddress(text)).toBeUndefined()
  })
})
