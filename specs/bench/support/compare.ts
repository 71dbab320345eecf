/**
 * Loads several servers in turn and prints what ours did beside each of the others.
 *
 * **Details** A ratio is the median of the rounds' own ratios, not the ratio of the medians: what else the machine does changes from minute to minute, and the
 * targets of one round are seconds apart. Every other round goes the other way round, so that what grows or wanes meets all alike.
 */
import { type Load, type Measured, measure, median, type Target, title } from "./load.ts"

export interface Comparison {
  /** Ours first. */
  readonly targets: ReadonlyArray<Target>
  readonly loads: ReadonlyArray<Load>
  readonly sizeBytes: number
  readonly rounds: number
  readonly seconds: number
  /** What the ratio of I/O per CPU-second is to reach beside each other target; none by default. */
  readonly aims?: (load: Load) => ReadonlyArray<number>
}

const cell = (x: number): string => Math.round(x).toString().padStart(11)
const ratio = (x: number, aim = 0): string => `${x.toFixed(2).padStart(10)}${x >= aim ? " " : "!"}`

export const compare = async (c: Comparison): Promise<void> => {
  const [, ...peers] = c.targets
  const names = c.targets.map((t) => t.name.padStart(11)).join("")
  const beside = peers.map((t) => `/${t.name}`.padStart(11)).join("")
  console.log(
    `${"".padEnd(22)}  I/O per server CPU-second${"".padEnd(11 * c.targets.length + 11 * peers.length - 24)}IOPS`,
  )
  console.log(`${"load".padEnd(22)}${names}${beside}  ${names}${beside}`)
  for (const load of c.loads) {
    const got: Array<Array<Measured>> = c.targets.map(() => [])
    for (let round = 0; round < c.rounds; round++) {
      const order = [...c.targets.entries()]
      if (round % 2 === 1) order.reverse()
      for (const [i, target] of order) got[i]!.push(await measure(target, load, c.sizeBytes, c.seconds))
    }
    console.log(row(load, got, c.aims?.(load) ?? []))
  }
  console.log(`medians of ${c.rounds} rounds of ${c.seconds} s${c.aims ? '; "!": below the aim' : ""}`)
}

const row = (load: Load, got: ReadonlyArray<ReadonlyArray<Measured>>, aims: ReadonlyArray<number>): string => {
  const side = (figure: (m: Measured) => number, marks: ReadonlyArray<number>) => {
    const [ours = [], ...others] = got.map((all) => all.map(figure))
    const beside = (theirs: ReadonlyArray<number>) => median(theirs.map((x, round) => ours[round]! / x))
    const cells = [ours, ...others].map((all) => cell(median(all)))
    return [...cells, ...others.map((theirs, i) => ratio(beside(theirs), marks[i]))].join("")
  }
  return `${title(load).padEnd(22)}${side((m) => m.perCpuSecond, aims)}  ${side((m) => m.iops, [])}`
}
