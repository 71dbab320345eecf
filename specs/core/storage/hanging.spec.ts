/** Plugins that hang, lie about lengths, or change their size: what the guard makes of them, with a clock that the spec turns. */
import { describe, expect, it } from "vitest"
import { ReadCache } from "../../../core/block/cache.ts"
import { openVersion } from "../../../core/block/version.ts"
import type { ImagelinkError } from "../../../core/errors.ts"
import type { Patience } from "../../../core/storage/asker.ts"
import { guardVolume } from "../../../core/storage/guard.ts"
import { guardFolder } from "../../../core/storage/guard-folder.ts"
import { mark } from "../../../core/storage/lent-buffers.ts"
import { openConfigured } from "../../../core/storage/open-volume.ts"
import type { StoragePlugin } from "../../../core/storage/plugin.ts"
import type { Volume, VolumeFolder } from "../../../core/storage/volume.ts"
import { memoryVolume } from "../../plugins/memory.ts"

const where = { kind: "shelf", path: "/srv/a.raw" }

/** A clock with periods of one second, because there are sixteen to a deadline. */
const clock = () => {
  const running = new Set<{ tick: () => void; millis: number; left: number }>()
  const patience: Patience = {
    openSeconds: 16,
    readSeconds: 16,
    writeSeconds: 32,
    ticks: (tick, millis) => {
      const timer = { tick, millis, left: millis }
      running.add(timer)
      return { ref: () => {}, unref: () => {}, stop: () => running.delete(timer) }
    },
  }
  const pass = async (seconds: number) => {
    for (let i = 0; i < seconds; i++) {
      for (const timer of [...running]) {
        timer.left -= 1000
        if (timer.left > 0) continue
        timer.left = timer.millis
        timer.tick()
      }
      await turn()
    }
  }
  return { patience, pass, running }
}
const turn = () => new Promise((resolve) => setImmediate(resolve))
const never = () => new Promise<never>(() => {})

const refusal = (asked: Promise<unknown>) =>
  asked.then(
    () => "answered",
    (e: ImagelinkError) => `${e.code}: ${e.reason}`,
  )
const late = (seconds: number) => `IO_ERROR: the plugin shelf did not answer within ${seconds} seconds`

describe("a plugin that never answers a read", () => {
  it("has its deadline: the caller gets IO_ERROR with the range, the plugin's name, and not a second earlier", async () => {
    const { patience, pass } = clock()
    const volume = guardVolume({ ...memoryVolume(new Uint8Array(1024)), read: never }, where, patience)
    let ended: ImagelinkError | undefined
    volume.read(new Uint8Array(512), 0, 512, 512).catch((e) => (ended = e))
    await pass(16)
    expect(ended).toBeUndefined()
    await pass(1)
    expect(ended).toMatchObject({
      code: "IO_ERROR",
      offset: 512,
      message: "input/output error at byte 512 (+512) on /srv/a.raw",
      reason: "the plugin shelf did not answer within 16 seconds",
    })
  })

  it("is told by its signal, once, and reads that come later have a deadline of their own", async () => {
    const { patience, pass } = clock()
    const signals: Array<AbortSignal> = []
    const read: Volume["read"] = (_into, _at, _offset, _length, signal) => {
      signals.push(signal!)
      return never()
    }
    const volume = guardVolume({ ...memoryVolume(new Uint8Array(1024)), read }, where, patience)
    const ended: Array<string> = []
    const ask = (name: string) => volume.read(new Uint8Array(1), 0, 0, 1).catch(() => ended.push(name))
    void ask("first")
    void ask("with it")
    await pass(5)
    void ask("later")
    await pass(12)
    expect(ended).toEqual(["first", "with it"])
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true, false])
    await pass(5)
    expect(ended).toEqual(["first", "with it", "later"])
  })

  it("also hears its caller's abort through the same signal", async () => {
    let given: AbortSignal | undefined
    const read: Volume["read"] = async (into, at, _offset, length, signal) => {
      given = signal
      into.fill(1, at, at + length)
    }
    const volume = guardVolume({ ...memoryVolume(new Uint8Array(1024)), read }, where, clock().patience)
    const caller = new AbortController()
    await volume.read(new Uint8Array(1), 0, 0, 1, caller.signal)
    caller.abort()
    expect(given?.aborted).toBe(true)
  })

  it("writes to nobody's buffer when it answers after all, and serves the next read", async () => {
    const { patience, pass } = clock()
    const answer = Promise.withResolvers<void>()
    let slow = true
    const right = memoryVolume(new Uint8Array(1024).fill(7))
    const read: Volume["read"] = async (...request) => {
      if (slow) await answer.promise
      await right.read(...request)
    }
    const volume = guardVolume({ ...right, read }, where, patience)
    const into = new Uint8Array(512)
    const reading = refusal(volume.read(into, 0, 0, 512))
    await pass(17)
    expect(await reading).toBe(late(16))
    into.fill(1)
    slow = false
    answer.resolve()
    await turn()
    expect(into.every((byte) => byte === 1)).toBe(true)
    await volume.read(into, 0, 0, 512)
    expect(into.every((byte) => byte === 7)).toBe(true)
  })

  it("leaves other images alone, and its own other ranges", async () => {
    const { patience, pass } = clock()
    const right = memoryVolume(new Uint8Array(262_144).fill(7))
    const read: Volume["read"] = (into, at, offset, length, signal) =>
      offset === 65_536 ? never() : right.read(into, at, offset, length, signal)
    const cache = new ReadCache({ bytes: 16 * 65_536 })
    const version = (id: string, volume: Volume) =>
      openVersion({
        id,
        contentId: id,
        cache,
        below: guardVolume({ ...volume, readSync: () => false }, where, patience),
        sizeBytes: 262_144,
      })
    const [hanging, other] = [version("a@1", { ...right, read }), version("b@1", right)]
    const lost = refusal(hanging.read(Buffer.alloc(4096), 0, 65_536, 4096))
    const read2 = async (device: typeof other, offset: number) => {
      const into = Buffer.alloc(4096)
      await device.read(into, 0, offset, 4096)
      return into.every((byte) => byte === 7)
    }
    expect(await read2(other, 65_536)).toBe(true)
    expect(await read2(hanging, 0)).toBe(true)
    await pass(17)
    expect(await lost).toBe(late(16))
    expect(await read2(other, 131_072)).toBe(true)
    expect(await read2(hanging, 131_072)).toBe(true)
  })

  it("costs no timer once nothing waits", async () => {
    const { patience, pass, running } = clock()
    const volume = guardVolume({ ...memoryVolume(new Uint8Array(1024)), readSync: () => false }, where, patience)
    volume.readSync(new Uint8Array(1), 0, 0, 1)
    expect(running.size).toBe(0)
    await volume.read(new Uint8Array(1), 0, 0, 1)
    expect(running.size).toBe(1)
    await pass(3)
    expect(running.size).toBe(0)
  })
})

describe("a plugin that never answers a write", () => {
  const stuckWriter = () => {
    const { patience, pass } = clock()
    const answer = Promise.withResolvers<void>()
    const bytes = new Uint8Array(4096)
    const right = memoryVolume(bytes)
    let slow = true
    let closed = 0
    const write: Volume["write"] = async (...request) => {
      if (slow) await answer.promise
      await right.write(...request)
    }
    const volume = guardVolume({ ...right, write, close: async () => void closed++ }, where, patience)
    return {
      volume,
      bytes,
      pass,
      quick: () => (slow = false),
      answer: answer.resolve,
      closed: () => closed,
    }
  }
  const ones = new Uint8Array(4096).fill(1)

  it("has a longer deadline, and what it was lent is not the caller's buffer", async () => {
    const { volume, bytes, pass, answer } = stuckWriter()
    const from = ones.slice(0, 512)
    const writing = refusal(volume.write(from, 0, 1024, 512))
    await pass(33)
    await pass(1)
    expect(await writing).toBe(`${late(32)}; it may still do what was asked`)
    from.fill(9)
    answer()
    await turn()
    expect(bytes.subarray(1024, 1536).every((byte) => byte === 1)).toBe(true)
  })

  it("has what overlaps it refused until it has settled, at every door, and nothing else", async () => {
    const { volume, pass, quick, answer } = stuckWriter()
    const writing = refusal(volume.write(ones, 0, 1024, 512))
    await pass(34)
    await writing
    quick()
    const why = "IO_ERROR: the plugin shelf has not answered an earlier write of the same bytes"
    for (const [offset, length] of [
      [1024, 512],
      [0, 1025],
      [1535, 1],
    ] as const) {
      expect(await refusal(volume.write(ones, 0, offset, length))).toBe(why)
      expect(await refusal(volume.punch(offset, length))).toBe(why)
      expect(await refusal((async () => volume.writeSync(ones, 0, offset, length))())).toBe(why)
    }
    await volume.write(ones, 0, 0, 1024)
    await volume.write(ones, 0, 1536, 512)
    await volume.flush()
    answer()
    await turn()
    await volume.write(ones, 0, 1024, 512)
  })

  it("is closed only when it has settled, and its close says what is missing", async () => {
    const { volume, pass, answer, closed } = stuckWriter()
    const writing = refusal(volume.write(ones, 0, 0, 512))
    const closing = refusal(volume.close())
    await pass(34)
    await writing
    expect(await closing).toBe("IO_ERROR: the plugin shelf still owes an answer; what it holds stays open until then")
    expect(closed()).toBe(0)
    answer()
    await turn()
    expect(closed()).toBe(1)
  })
})

describe("a plugin that never answers", () => {
  it.each(["flush", "punch", "extents", "identity", "close"] as const)("%s has a deadline for it", async (part) => {
    const { patience, pass } = clock()
    const volume = guardVolume({ ...memoryVolume(new Uint8Array(1024)), [part]: never }, where, patience)
    const asked = refusal(
      part === "punch" || part === "extents" ? volume[part](0, 512, 1) : (volume[part] as () => Promise<unknown>)(),
    )
    await pass(36)
    expect(await asked).toMatch(/^IO_ERROR: the plugin shelf did not answer within (16|32) seconds/)
  })

  it("an opening has a deadline, its signal aborted, and what it opens late closed", async () => {
    const { patience, pass } = clock()
    const answer = Promise.withResolvers<Volume>()
    let aborted = false
    let closed = 0
    const plugin = {
      kind: "shelf",
      open: (_: unknown, { signal }: { signal: AbortSignal }) => {
        signal.addEventListener("abort", () => (aborted = true))
        return answer.promise
      },
    } as unknown as StoragePlugin
    const { signal } = new AbortController()
    const opening = refusal(openConfigured(plugin, { path: "/srv/a.raw" }, { host: {}, signal, patience }))
    await pass(16)
    expect(await opening).toBe("IO_ERROR: the plugin shelf did not open it within 16 seconds")
    expect(aborted).toBe(true)
    answer.resolve({ ...memoryVolume(new Uint8Array(1)), close: async () => void closed++ })
    await turn()
    expect(closed).toBe(1)
  })

  it("a change of a folder's entry has that entry refused until it has settled", async () => {
    const { patience, pass } = clock()
    const answer = Promise.withResolvers<void>()
    let slow = true
    const folder = guardFolder(
      { path: "/srv/o", replaceFile: () => (slow ? answer.promise : Promise.resolve()) } as unknown as VolumeFolder,
      where,
      patience,
    )
    const replacing = refusal(folder.replaceFile("header", new Uint8Array(1)))
    await pass(34)
    expect(await replacing).toBe(`${late(32)}; it may still do what was asked`)
    slow = false
    expect(await refusal(folder.replaceFile("header", new Uint8Array(1)))).toBe(
      "IO_ERROR: the plugin shelf has not answered an earlier change of it",
    )
    await folder.replaceFile("other", new Uint8Array(1))
    answer.resolve()
    await turn()
    await folder.replaceFile("header", new Uint8Array(1))
  })

  it("a volume that a folder opens late is closed", async () => {
    const { patience, pass } = clock()
    const answer = Promise.withResolvers<Volume>()
    let closed = 0
    const folder = guardFolder(
      { path: "/srv/o", open: () => answer.promise } as unknown as VolumeFolder,
      where,
      patience,
    )
    const opening = refusal(folder.open("data"))
    await pass(34)
    expect(await opening).toBe(`${late(32)}; it may still do what was asked`)
    answer.resolve({ ...memoryVolume(new Uint8Array(1)), close: async () => void closed++ })
    await turn()
    expect(closed).toBe(1)
  })
})

describe("a plugin that lies about lengths", () => {
  const reading = (read: (...request: Parameters<Volume["read"]>) => unknown, length: number) => {
    const volume = guardVolume({ ...memoryVolume(new Uint8Array(4096)), read } as Volume, where)
    return refusal(volume.read(new Uint8Array(4096), 0, 0, length))
  }
  const broke = (why: string) => `PLUGIN_BROKE_CONTRACT: ${why}`

  it.each([1, 7, 8, 9, 4096])("and stops one byte short of %i is found out", async (length) => {
    const short = async (into: Uint8Array, at: number, _: number, count: number) =>
      void into.fill(3, at, at + count - 1)
    const why = `a read of ${length} bytes at 0 settled before its last bytes were there`
    // With eight bytes or more, seven of the mark are gone: only nothing at the end is certain.
    if (length > 1) await expect(reading(short, length)).resolves.toBe("answered")
    else expect(await reading(short, length)).toBe(broke(why))
    const nothing = async (into: Uint8Array, at: number, _: number, count: number) =>
      void into.fill(3, at, at + Math.max(0, count - 8))
    expect(await reading(nothing, length)).toBe(broke(why))
  })

  it("and says so in a number is taken at its word", async () => {
    expect(await reading(async (into, at, _, n) => Number(void into.fill(3, at, at + n)) || 512, 4096)).toBe(
      broke("read answered 512, but was asked for 4096 bytes: it must do all of them"),
    )
    expect(await reading(async (into, at, _, n) => Number(void into.fill(3, at, at + n)) || n, 4096)).toBe("answered")
  })

  const counted = (held: Uint8Array) => {
    const under = memoryVolume(held)
    const reads: Array<number> = []
    const read: Volume["read"] = (into, at, offset, length) => {
      reads.push(length)
      return under.read(into, at, offset, length)
    }
    return { volume: guardVolume({ ...under, read }, where), reads }
  }

  it("is not confused with a disk that holds the very mark: it is read again, with another", async () => {
    const held = new Uint8Array(4096)
    for (const seed of [0xa5, 0x5a]) {
      mark(held, 4096, seed)
      const { volume, reads } = counted(held)
      const into = new Uint8Array(4096)
      await volume.read(into, 0, 0, 4096)
      expect(into).toEqual(held)
      expect(reads.length).toBe(seed === 0xa5 ? 2 : 1)
    }
  })

  it("costs no disk a second read that is filled with one byte", async () => {
    for (let byte = 0; byte < 256; byte++) {
      const { volume, reads } = counted(new Uint8Array(4096).fill(byte))
      await volume.read(new Uint8Array(4096), 0, 0, 4096)
      expect(reads, `filled with ${byte}`).toEqual([4096])
    }
  })

  it("and writes past its part changes nothing there", async () => {
    const volume = guardVolume(
      { ...memoryVolume(new Uint8Array(4096)), read: async (into) => void into.fill(3) },
      where,
    )
    const into = new Uint8Array(4096).fill(1)
    await volume.read(into, 1000, 0, 100)
    expect([into[999], into[1000], into[1099], into[1100]]).toEqual([1, 3, 3, 1])
  })

  it("and changes its size is found out at the next request", async () => {
    const bare = { ...memoryVolume(new Uint8Array(4096)) } as { -readonly [K in keyof Volume]: Volume[K] }
    const volume = guardVolume(bare, where)
    bare.sizeBytes = 512
    expect(await refusal(volume.read(new Uint8Array(512), 0, 0, 512))).toBe(
      broke("the volume was 4096 bytes long and is now 512"),
    )
  })
})
