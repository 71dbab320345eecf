/** A memory log filled by a random walk of commands, each deciding on what the ones before it made. */
import * as Result from "effect/Result"
import { initial } from "../../core/domain/catalogue.ts"
import { decide } from "../../core/domain/decide.ts"
import { evolve } from "../../core/domain/evolve.ts"
import { id } from "./domain.ts"
import { type MemoryLog, makeMemoryLog } from "./memory-log.ts"
import { random } from "./random.ts"
import { randomCommand } from "./random-commands.ts"

export const randomLog = (seed: number, commands: number): MemoryLog => {
  const r = random(seed)
  const log = makeMemoryLog()
  const catalogue = initial()
  for (let i = 1; i <= commands; i++) {
    const decision = decide(catalogue, randomCommand(r, i, catalogue))
    if (Result.isFailure(decision)) continue
    for (const recorded of log.push(decision.success, { command: id(9, i), at: i * 1000 })) evolve(catalogue, recorded)
  }
  return log
}
