import { describe, expect, it } from "vitest"
import { makeBootIds } from "../../core/runtime/boot-ids.ts"

const secret = Buffer.alloc(32, 7)
const ids = makeBootIds(secret)
const client = "01935b00-0000-7000-8000-000000000001"
const other = "01935b00-0000-7000-8000-000000000002"
const at = Date.UTC(2026, 10, 23)
const bytes = (count: number) => Uint8Array.from({ length: count }, (_, i) => 0xf1 + i)

describe("a boot id", () => {
  it("of a known secret, client, time and randomness is these 48 characters", () => {
    expect(ids.make(client, at, bytes)).toBe("agralm6qady7f47u6x3pp6hzgd7efizazbeycpwwcyyy575r")
  })

  it("says when it was made, to whom it belongs, and by which name it goes", () => {
    const boot = ids.make(client, at, bytes)
    expect(boot).toMatch(/^[a-z2-7]{48}$/)
    expect(ids.judge(boot, client)).toEqual({ ok: true, boot: boot.slice(0, 24), at })
    expect(ids.judge(boot.toUpperCase(), client)).toEqual({ ok: true, boot: boot.slice(0, 24), at })
  })

  it("fits an iSCSI name with the longest client name", () => {
    const name = `iqn.2026-11.io.imagelink:${"c".repeat(63)}:${ids.make(client, at, bytes)}`
    expect(name.length).toBe(137)
    expect(name).toMatch(/^[a-z0-9.:-]{1,223}$/)
  })

  it("holds the first and the last time that 48 bits can say", () => {
    for (const time of [0, 2 ** 48 - 1])
      expect(ids.judge(ids.make(client, time, bytes), client)).toMatchObject({ ok: true, at: time })
  })

  it("is nobody else's, and no other site's", () => {
    const boot = ids.make(client, at, bytes)
    const why = "this site did not make it for this client"
    expect(ids.judge(boot, other)).toEqual({ ok: false, why })
    expect(makeBootIds(Buffer.alloc(32, 8)).judge(boot, client)).toEqual({ ok: false, why })
  })

  it("with any character exchanged for any other is refused", () => {
    const boot = ids.make(client, at, bytes)
    for (let i = 0; i < boot.length; i++)
      for (const char of "abcdefghijklmnopqrstuvwxyz234567")
        if (char !== boot[i])
          expect(ids.judge(boot.slice(0, i) + char + boot.slice(i + 1), client).ok, boot).toBe(false)
  })

  it("that is empty, short, long, or of other characters is refused, and says what one looks like", () => {
    const boot = ids.make(client, at, bytes)
    const why = "it is not 48 characters of a to z and 2 to 7"
    for (const wrong of [
      "",
      boot.slice(1),
      `${boot}a`,
      `${boot.slice(1)}1`,
      `${boot.slice(1)}=`,
      `${boot.slice(1)}İ`,
      "é".repeat(48),
    ])
      expect(ids.judge(wrong, client), wrong).toEqual({ ok: false, why })
  })

  it("is another each time, because it is random", () => {
    let n = 0
    const counting = (count: number) => Buffer.alloc(count, ++n)
    const made = new Set(Array.from({ length: 100 }, () => ids.make(client, at, counting)))
    expect(made.size).toBe(100)
  })
})
