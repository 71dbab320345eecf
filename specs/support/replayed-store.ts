/** A store that another one's log is replayed into, event by event, with nothing else of it. */
import * as Effect from "effect/Effect"
import { levelDatabase } from "../../adapters/level/database.ts"
import { createStore } from "../../core/log/create-store.ts"
import { fillStore } from "../../core/log/fill-store.ts"
import { random } from "../log/support/random.ts"

/** `lines` are the canonical bytes of the events from the first on, as `log --json` prints them. */
export const replayInto = async (dir: string, lines: ReadonlyArray<string>): Promise<void> => {
  const making = { site: "replayed.example", now: 1_795_000_000_000, random: random(1).bytes, database: levelDatabase }
  const site = await Effect.runPromise(createStore(dir, making))
  const pageBytes = (after: number, limit: number) =>
    Effect.succeed(
      lines.slice(after, after + limit).map((line, i) => ({ position: after + i + 1, bytes: Buffer.from(line) })),
    )
  await fillStore(dir, levelDatabase, { site, head: () => lines.length, pageBytes })
}
