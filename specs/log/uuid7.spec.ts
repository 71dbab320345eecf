import { expect, it } from "vitest"
import { uuid7 } from "../../core/log/uuid7.ts"

it("a UUIDv7 is the example of RFC 9562 Appendix A.6", () => {
  const random = Buffer.from("0cc318c4dc0c0c07398f", "hex")
  expect(uuid7(0x017f22e279b0, random)).toBe("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
})

it.each([
  [0, "00", "00000000-0000-7000-8000-000000000000"],
  [2 ** 48 - 1, "ff", "ffffffff-ffff-7fff-bfff-ffffffffffff"],
])("version and variant hold at time %d with random bytes %s", (time, byte, text) => {
  expect(uuid7(time, Buffer.from(byte.repeat(10), "hex"))).toBe(text)
})

it.each([[-1], [2 ** 48], [1.5], [Number.NaN]])("the time %d is refused", (time) => {
  expect(() => uuid7(time, new Uint8Array(10))).toThrow("48 bits")
})

it("fewer random bytes than it takes are refused", () => {
  expect(() => uuid7(0, new Uint8Array(9))).toThrow("ten random bytes")
})
