/** Commits, rollbacks, flattening, retirements and starts at random: every version that is there reads as the model has it, and compares with any other. */
import { join } from "node:path"
import { expect, it } from "vitest"
import { scratch } from "../support/cli.ts"
import { checked, codeOf, imageOf, type Lab, makeLab, versionBytes } from "../support/committing.ts"
import { type Random, random } from "../support/random.ts"
import { type ServingSite, serveHere, write, zero } from "../support/serving.ts"

const SIZE = 5 * 65_536 + 512
const STEPS = 22
const seeds = Array.from({ length: Number(process.env.IMAGELINK_SEEDS ?? 3) }, (_, i) => 31 + i)
const folder = scratch("flatten-model")

interface World {
  readonly dice: Random
  readonly data: string
  readonly lab: Lab
  here: ServingSite
  /** By version; undefined once it is retired. */
  readonly bytes: Array<Buffer | undefined>
}

const commit = async ({ here, lab, dice, bytes }: World): Promise<string> => {
  const { current } = await imageOf(here, lab.image)
  const now = Buffer.from(bytes[current - 1]!)
  await here.do("client.set-super", { client: lab.client(1), image: lab.image })
  const lease = await here.attach(lab.client(1))
  for (let i = 0; i < 6; i++) {
    const offset = dice.int(SIZE - 1)
    const length = Math.min(SIZE - offset, 1 + dice.int(20_000))
    if (dice.chance(0.3)) {
      await zero(lease, offset, length)
      now.fill(0, offset, offset + length)
    } else {
      await write(lease, offset, Buffer.alloc(length, 1 + dice.int(250)))
      await lease.device.read(now, offset, offset, length)
    }
  }
  await lease.release()
  await here.do("image.commit", { name: lab.image })
  bytes.push(now)
  await checked(here, lab.image, bytes.length)
  return "commit"
}

const randomStep = async (w: World): Promise<string> => {
  const { dice, here, lab, bytes } = w
  const { image: name } = lab
  const version = 1 + dice.int(bytes.length)
  switch (dice.int(8)) {
    case 0:
    case 1:
    case 2:
      return commit(w)
    case 3:
      return `rollback ${await codeOf(here.do("image.rollback", { name, to: version }))}`
    case 4:
    case 5: {
      const whole = dice.chance(0.2)
      return `flatten ${await codeOf(here.do("image.flatten", { name, version, whole }))}`
    }
    case 6: {
      const code = await codeOf(here.do("image.retire", { name, version }))
      if (code === "accepted") bytes[version - 1] = undefined
      return `retire ${code}`
    }
    default:
      await here.close()
      w.here = await serveHere(w.data)
      return "start"
  }
}

/** Where a comparison says that two versions are the same, they are. */
const expectCompared = async ({ here, lab, bytes }: World, from: number, to: number, said: string) => {
  const [a, b] = [
    { name: lab.image, version: from },
    { name: lab.image, version: to },
  ]
  const { runs } = await here.do("image.diff", { from: a, to: b })
  const patched = Buffer.from(bytes[from - 1]!)
  for (const { offset, length, kind } of runs) {
    bytes[to - 1]!.copy(patched, offset, offset, offset + length)
    if (kind === "zero")
      expect(
        patched.subarray(offset, offset + length).every((x) => x === 0),
        said,
      ).toBe(true)
  }
  expect(patched.equals(bytes[to - 1]!), `${said}; @${from} to @${to}`).toBe(true)
}

const expectAll = async (w: World, said: string) => {
  const there = w.bytes.flatMap((bytes, i) => (bytes === undefined ? [] : [i + 1]))
  for (const version of there) {
    const read = await versionBytes(w.here, w.lab.image, version)
    expect(read.equals(w.bytes[version - 1]!), `${said}; @${version}`).toBe(true)
  }
  await expectCompared(w, w.dice.pick(there), w.dice.pick(there), said)
}

const did = new Map<string, number>()

it.each(seeds)(
  "a walk through versions (seed %d)",
  async (seed) => {
    const data = join(folder, `data-${seed}`)
    const here = await serveHere(data)
    const lab = await makeLab(here, folder, 2, SIZE)
    const w: World = { dice: random(seed), data, lab, here, bytes: [lab.bytes] }
    try {
      for (let n = 0; n < 4; n++) await commit(w)
      for (let step = 1; step <= STEPS; step++) {
        const what = await randomStep(w)
        did.set(what, (did.get(what) ?? 0) + 1)
        await expectAll(w, `seed ${seed}, step ${step}: ${what}`)
      }
      for (const [i, bytes] of w.bytes.entries()) {
        if (bytes === undefined) continue
        const { result } = await w.here.do("image.check", { name: lab.image, version: i + 1 })
        expect([i + 1, result], `seed ${seed}`).toEqual([i + 1, "verified"])
      }
    } finally {
      await w.here.close()
    }
  },
  120_000,
)

it.skipIf(seeds.length < 3)("the walks went everywhere", () => {
  for (const reached of [
    "commit",
    "rollback accepted",
    "flatten accepted",
    "flatten FLATTEN_NOTHING",
    "retire accepted",
    "start",
  ])
    expect(did.get(reached) ?? 0, `${reached}: ${JSON.stringify([...did])}`).toBeGreaterThan(0)
})
