/**
 * The conformance suite of a block device, with the test runner injected: what the contract in core/block/device.ts promises, seen from outside.
 *
 *     blockDeviceConformance({ describe, it }, { name: "my device", features, make: async () => ({ device, reference, dispose }) })
 *
 * **Details** The device stands behind the front guard, because that is where a protocol meets it. `make` is called for each test, so a test may
 * close what it got. `reference` is what the device holds at first; without it reads are compared with each other. The disk needs at least
 * 256 KiB. What `features` does not claim is tested for being refused, where the contract says that it is.
 */
import assert from "node:assert/strict"
import { type BlockDevice, type BlockFeatures, FUA, MAY_UNMAP, type Unlock } from "../../core/block/device.ts"

export interface ConformanceRunner {
  describe(name: string, body: () => void): void
  it(name: string, body: () => Promise<void>): void
}

export interface ConformanceDevice {
  readonly device: BlockDevice
  readonly reference?: Uint8Array
  dispose(): Promise<void>
}

export interface ConformanceSubject {
  readonly name: string
  readonly features: BlockFeatures
  make(): Promise<ConformanceDevice>
}

const KiB = 1024
const GUARD = 0xee

export const blockDeviceConformance = (runner: ConformanceRunner, subject: ConformanceSubject): void => {
  const { features } = subject
  runner.describe(`${subject.name} is a block device`, () => {
    const test = (name: string, body: (device: BlockDevice, reference: Uint8Array | undefined) => Promise<void>) =>
      runner.it(name, async () => {
        const made = await subject.make()
        try {
          await body(made.device, made.reference)
        } finally {
          await made.dispose()
        }
      })
    shape(test, features)
    reading(test, features)
    refusing(test, features)
    sharing(test)
    if (features.writable) {
      writing(test, features)
      zeroing(test, features)
    } else readOnly(test)
    closing(test)
  })
}

type Test = (name: string, body: (device: BlockDevice, reference: Uint8Array | undefined) => Promise<void>) => void

const shape = (test: Test, features: BlockFeatures): void => {
  test("says what it is in numbers that fit together", async (device) => {
    assert.deepEqual({ ...device.features }, { ...features })
    for (const bytes of [device.logicalBlockBytes, device.physicalBlockBytes, device.optimalIoBytes]) {
      assert.ok(Number.isInteger(Math.log2(bytes)), `${bytes} is a power of two`)
    }
    assert.ok(device.logicalBlockBytes <= device.physicalBlockBytes)
    assert.equal(device.sizeBytes % device.logicalBlockBytes, 0)
    assert.ok(device.sizeBytes >= 256 * KiB, "the suite needs 256 KiB")
    assert.ok(device.id.length > 0)
  })

  test("has extents that adjoin, begin where asked, and are no more than asked for", async (device) => {
    for (const max of [1, 2, 1000]) {
      for (const [offset, length] of places(device)) {
        const list = await device.extents(offset, length, max)
        assert.ok(list.length >= 1 && list.length <= max, `${list.length} extents of at most ${max}`)
        let at = offset
        for (const e of list) {
          assert.equal(e.offset, at)
          assert.ok(e.length > 0 && e.kind !== "absent")
          at += e.length
          if (e.kind === "zero")
            assert.ok((await get(device, e.offset, Math.min(e.length, 64 * KiB))).every((b) => b === 0))
        }
        assert.ok(at <= offset + length)
      }
    }
    assert.deepEqual(await device.extents(0, 0, 1), [])
  })
}

const reading = (test: Test, features: BlockFeatures): void => {
  test("reads the first block, the last, one past a cluster, and everything", async (device, reference) => {
    for (const [offset, length] of places(device)) {
      const bytes = await get(device, offset, length)
      if (reference !== undefined) same(bytes, reference.subarray(offset, offset + length))
      same(await get(device, offset, length), bytes)
    }
  })

  test("reads the same through both doors, into the middle of a buffer and not beyond", async (device) => {
    for (const [offset, length] of places(device)) {
      const [one, two] = [Buffer.alloc(length + 64, GUARD), Buffer.alloc(length + 64, GUARD)]
      await device.read(one, 32, offset, length)
      if (!device.readSync(two, 32, offset, length)) continue
      same(one, two)
      for (const b of [one, two]) {
        assert.ok(b.subarray(0, 32).every((x) => x === GUARD) && b.subarray(32 + length).every((x) => x === GUARD))
      }
    }
  })

  test("serves sixty-four reads at once", async (device) => {
    const whole = await get(device, 0, 256 * KiB)
    const reads = Array.from({ length: 64 }, async (_, i) => {
      const bytes = Buffer.alloc(4 * KiB)
      await device.read(bytes, 0, i * 4 * KiB, 4 * KiB)
      same(bytes, whole.subarray(i * 4 * KiB, (i + 1) * 4 * KiB))
    })
    await Promise.all(reads)
  })

  test("reads the same after a prefetch", async (device) => {
    const before = await get(device, 0, 256 * KiB)
    await device.prefetch(0, 256 * KiB)
    same(await get(device, 0, 256 * KiB), before)
  })

  if (!features.byteGranular) return
  test("reads single bytes anywhere", async (device) => {
    const whole = await get(device, 0, 128 * KiB)
    for (const offset of [0, 1, 511, 512, 4095, 64 * KiB - 1, 64 * KiB]) {
      same(await get(device, offset, 3), whole.subarray(offset, offset + 3))
    }
  })
}

const refusing = (test: Test, features: BlockFeatures): void => {
  test("refuses what is not inside the disk, at both doors", async (device) => {
    const size = device.sizeBytes
    const block = device.logicalBlockBytes
    const bytes = Buffer.alloc(2 * block)
    for (const [offset, length] of [
      [size, block],
      [size - block, 2 * block],
      [-block, block],
      [Number.NaN, block],
      [Number.POSITIVE_INFINITY, block],
      [2 ** 62, block],
    ] as const) {
      throwsCode("OUT_OF_RANGE", () => device.readSync(bytes, 0, offset, length))
      await rejectsCode("OUT_OF_RANGE", device.read(bytes, 0, offset, length))
      await rejectsCode("OUT_OF_RANGE", device.extents(offset, length, 1))
      if (!features.writable) continue
      throwsCode("OUT_OF_RANGE", () => device.writeSync(bytes, 0, offset, length, 0))
      await rejectsCode("OUT_OF_RANGE", device.write(bytes, 0, offset, length, 0))
      throwsCode("OUT_OF_RANGE", () => device.zeroSync(offset, length, 0))
      await rejectsCode("OUT_OF_RANGE", device.zero(offset, length, 0))
      await rejectsCode("OUT_OF_RANGE", device.trim(offset, length, 0))
    }
  })

  test("does nothing for no bytes, up to the very end", async (device) => {
    const nothing = Buffer.alloc(0)
    for (const offset of [0, device.sizeBytes]) {
      assert.equal(device.readSync(nothing, 0, offset, 0), true)
      await device.read(nothing, 0, offset, 0)
      if (features.writable) assert.equal(device.writeSync(nothing, 0, offset, 0, 0), true)
    }
    throwsCode("OUT_OF_RANGE", () => device.readSync(nothing, 0, device.sizeBytes + device.logicalBlockBytes, 0))
  })

  test("takes a programmer's mistake for one", async (device) => {
    const block = device.logicalBlockBytes
    assert.throws(() => device.readSync(Buffer.alloc(block - 1), 0, 0, block), assert.AssertionError)
    assert.throws(() => device.readSync(Buffer.alloc(block), 1, 0, block), assert.AssertionError)
    if (features.writable) {
      assert.throws(() => device.writeSync(Buffer.alloc(block), 0, 0, block, 64), assert.AssertionError)
    }
  })

  test("does not begin a request whose signal is aborted", async (device) => {
    const signal = AbortSignal.abort()
    await rejectsCode("CANCELLED", device.read(Buffer.alloc(4096), 0, 0, 4096, signal))
    await rejectsCode("CANCELLED", device.lock(0, 4096, signal))
    await rejectsCode("CANCELLED", device.flush(signal))
  })

  if (features.byteGranular) return
  test("refuses parts of a logical block", async (device) => {
    const block = device.logicalBlockBytes
    throwsCode("OUT_OF_RANGE", () => device.readSync(Buffer.alloc(block), 0, 1, block))
    throwsCode("OUT_OF_RANGE", () => device.readSync(Buffer.alloc(block), 0, 0, block - 1))
  })
}

const sharing = (test: Test): void => {
  test("gives a locked range to one caller at a time, in order", async (device) => {
    const order: Array<string> = []
    const first = await device.lock(0, 8192)
    const noting = async (name: string, lock: Promise<Unlock>): Promise<Unlock> => {
      const unlock = await lock
      order.push(name)
      return unlock
    }
    const second = noting("second", device.lock(4096, 8192))
    const third = noting("third", device.lock(8192, 8192))
    const apart = await device.lock(64 * KiB, 4096)
    order.push("apart")
    apart()
    first()
    first()
    ;(await second)()
    ;(await third)()
    assert.deepEqual(order, ["apart", "second", "third"])
  })

  test("forgets a caller that stops waiting for a range", async (device) => {
    const unlock = await device.lock(0, 4096)
    const impatient = new AbortController()
    const waiting = device.lock(0, 4096, impatient.signal)
    impatient.abort()
    await rejectsCode("CANCELLED", waiting)
    unlock()
    ;(await device.lock(0, 4096))()
  })
}

const writing = (test: Test, features: BlockFeatures): void => {
  test("reads back what was written, round every boundary, and nothing else changed", async (device) => {
    const model = await get(device, 0, 256 * KiB)
    const block = device.logicalBlockBytes
    for (const [i, [offset, length]] of [
      [0, block],
      [4096 - block, 2 * block],
      [64 * KiB - block, 2 * block],
      [64 * KiB, 64 * KiB],
      [128 * KiB + block, 100 * KiB],
      [0, 256 * KiB],
      [4096, 4096],
    ].entries() as Iterable<[number, [number, number]]>) {
      const bytes = pattern(length + 7, i + 1)
      await put(device, bytes, 7, offset, length, i % 2 === 0)
      bytes.copy(model, offset, 7)
      same(await get(device, 0, 256 * KiB), model)
    }
  })

  test("writes its last block", async (device) => {
    const block = device.logicalBlockBytes
    const bytes = pattern(block, 9)
    await put(device, bytes, 0, device.sizeBytes - block, block, true)
    same(await get(device, device.sizeBytes - block, block), bytes)
  })

  test("does not look at a buffer after it has answered", async (device) => {
    const bytes = pattern(8192, 3)
    await device.write(bytes, 0, 4096, 8192, 0)
    bytes.fill(0)
    same(await get(device, 4096, 8192), pattern(8192, 3))
  })

  test("takes FUA and flush, whatever they promise here", async (device) => {
    await device.write(pattern(4096, 4), 0, 0, 4096, FUA)
    await device.zero(4096, 4096, FUA)
    await device.trim(8192, 4096, FUA)
    await Promise.all([device.flush(), device.flush(), device.flush()])
    same(await get(device, 0, 4096), pattern(4096, 4))
  })

  test("lets overlapping writes leave one or the other in each block", async (device) => {
    const block = device.logicalBlockBytes
    const [one, two] = [Buffer.alloc(32 * KiB, 1), Buffer.alloc(32 * KiB, 2)]
    await Promise.all([device.write(one, 0, 0, one.length, 0), device.write(two, 0, 16 * KiB, two.length, 0)])
    const got = await get(device, 0, 48 * KiB)
    for (let at = 0; at < got.length; at += block) {
      const b = got[at]!
      assert.ok(got.subarray(at, at + block).every((x) => x === b))
      const may = at < 16 * KiB ? [1] : at < 32 * KiB ? [1, 2] : [2]
      assert.ok(may.includes(b), `byte ${at} is ${b}`)
    }
  })

  test("lets many small writes into one grain all arrive", async (device) => {
    const block = device.logicalBlockBytes
    const count = 64
    const writes = Array.from({ length: count }, (_, i) =>
      device.write(Buffer.alloc(block, i + 1), 0, i * block, block, 0),
    )
    await Promise.all(writes)
    const got = await get(device, 0, count * block)
    for (let i = 0; i < count; i++) assert.equal(got[i * block], i + 1)
  })

  if (!features.byteGranular) return
  test("writes single bytes, and keeps their neighbours", async (device) => {
    const model = await get(device, 0, 128 * KiB)
    for (const offset of [0, 1, 511, 4095, 4096, 64 * KiB - 1]) {
      await put(device, Buffer.from([7, 8]), 0, offset, 2, true)
      model.set([7, 8], offset)
    }
    same(await get(device, 0, 128 * KiB), model)
  })
}

const zeroing = (test: Test, features: BlockFeatures): void => {
  for (const [name, flags] of [
    ["zeroes exactly what it is asked to", 0],
    ["zeroes exactly what it is asked to when it may unmap", MAY_UNMAP],
  ] as const) {
    test(name, async (device) => {
      const block = device.logicalBlockBytes
      const model = pattern(256 * KiB, 5)
      await device.write(model, 0, 0, model.length, 0)
      for (const [offset, length] of [
        [0, block],
        [4096 - block, 2 * block],
        [8192, 4096],
        [32 * KiB + block, 70 * KiB],
        [8192, 4096],
        [160 * KiB, 96 * KiB],
      ] as const) {
        if (!device.zeroSync(offset, length, flags)) await device.zero(offset, length, flags)
        model.fill(0, offset, offset + length)
        same(await get(device, 0, 256 * KiB), model)
      }
      await put(device, pattern(block, 6), 0, 8192 + block, block, true)
      pattern(block, 6).copy(model, 8192 + block)
      same(await get(device, 0, 256 * KiB), model)
    })
  }

  test("zeroes and trims longer than one read may be", async (device) => {
    await device.zero(0, device.sizeBytes, 0)
    await device.trim(0, device.sizeBytes, 0)
    const block = device.logicalBlockBytes
    assert.ok((await get(device, 0, 256 * KiB)).every((b) => b === 0))
    assert.ok((await get(device, device.sizeBytes - block, block)).every((b) => b === 0))
  })

  if (!features.trim) return
  test("trims whole physical blocks to zeros, and of the rest keeps what it was", async (device) => {
    const physical = device.physicalBlockBytes
    const block = device.logicalBlockBytes
    const before = pattern(64 * KiB, 8)
    await device.write(before, 0, 0, before.length, 0)
    await device.trim(block, 4 * physical, 0)
    const after = await get(device, 0, 64 * KiB)
    const from = block % physical === 0 ? block : physical
    const to = Math.floor((block + 4 * physical) / physical) * physical
    assert.ok(after.subarray(from, to).every((b) => b === 0))
    for (let at = 0; at < after.length; at++) {
      if (at < block || at >= block + 4 * physical) assert.equal(after[at], before[at])
      else assert.ok(after[at] === 0 || after[at] === before[at])
    }
  })
}

const readOnly = (test: Test): void => {
  test("refuses every change", async (device) => {
    const before = await get(device, 0, 4096)
    throwsCode("READ_ONLY", () => device.writeSync(Buffer.alloc(4096), 0, 0, 4096, 0))
    throwsCode("READ_ONLY", () => device.zeroSync(0, 4096, 0))
    await rejectsCode("READ_ONLY", device.write(Buffer.alloc(4096), 0, 0, 4096, 0))
    await rejectsCode("READ_ONLY", device.zero(0, 4096, 0))
    await rejectsCode("READ_ONLY", device.trim(0, 4096, 0))
    await device.flush()
    same(await get(device, 0, 4096), before)
  })
}

const closing = (test: Test): void => {
  test("lets requests in flight end when it closes, and serves none afterwards", async (device) => {
    const bytes = Buffer.alloc(256 * KiB)
    const reading = device.read(bytes, 0, 0, bytes.length)
    const closing = device.close()
    await reading
    await closing
    await device.close()
    throwsCode("CLOSED", () => device.readSync(bytes, 0, 0, 4096))
    await rejectsCode("CLOSED", device.read(bytes, 0, 0, 4096))
    await rejectsCode("CLOSED", device.flush())
  })
}

/** First block, last block, round a cluster's end, and the first 256 KiB. */
const places = (device: BlockDevice): ReadonlyArray<readonly [number, number]> => {
  const block = device.logicalBlockBytes
  return [
    [0, block],
    [device.sizeBytes - block, block],
    [64 * KiB - block, 2 * block],
    [64 * KiB, 64 * KiB],
    [0, 256 * KiB],
  ]
}

const get = async (device: BlockDevice, offset: number, length: number): Promise<Buffer> => {
  const into = Buffer.alloc(length)
  if (!device.readSync(into, 0, offset, length)) await device.read(into, 0, offset, length)
  return into
}

const put = async (device: BlockDevice, from: Buffer, at: number, offset: number, length: number, sync: boolean) => {
  if (sync && device.writeSync(from, at, offset, length, 0)) return
  await device.write(from, at, offset, length, 0)
}

const pattern = (length: number, seed: number): Buffer => {
  const bytes = Buffer.alloc(length)
  let x = seed
  for (let i = 0; i < length; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0
    bytes[i] = x >>> 24
  }
  return bytes
}

const same = (got: Uint8Array, wanted: Uint8Array): void => {
  assert.equal(got.length, wanted.length)
  for (let i = 0; i < got.length; i++) if (got[i] !== wanted[i]) assert.fail(`byte ${i} is ${got[i]}, not ${wanted[i]}`)
}

const hasCode = (code: string) => (e: unknown) => {
  assert.equal((e as { code?: unknown }).code, code)
  return true
}
const throwsCode = (code: string, body: () => unknown): void => assert.throws(body, hasCode(code))
const rejectsCode = (code: string, request: Promise<unknown>): Promise<void> => assert.rejects(request, hasCode(code))
