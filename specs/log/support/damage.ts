/**
 * A copy of a store, damaged on purpose over and over, and what opening and reading it gives.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { isImagelinkError } from "../../../core/errors.ts"
import { discard, open, readAll, temporary } from "./store.ts"

/** Files LevelDB keeps its data in; LOCK and LOG hold none. */
export const dataFiles = (store: string): ReadonlyArray<string> =>
  readdirSync(join(store, "store/db"))
    .filter((name) => !/^(LOCK|LOG|LOG\.old)$/.test(name))
    .sort()

type Contents = ReadonlyMap<string, Buffer>

const contents = (dir: string): Contents =>
  new Map(
    readdirSync(dir, { recursive: true, encoding: "utf8" })
      .filter((name) => statSync(join(dir, name)).isFile())
      .sort()
      .map((name) => [name, readFileSync(join(dir, name))]),
  )

const same = (a: Contents, b: Contents): boolean =>
  a.size === b.size && [...a].every(([name, bytes]) => b.get(name)?.equals(bytes))

export type Outcome = (
  | { readonly refused: string; readonly message: string }
  | { readonly events: ReadonlyArray<unknown> }
) & {
  /** Whether opening changed any file. */
  readonly changed: boolean
}

export interface Patient {
  /** The data folder of the copy. */
  readonly dir: string
  /** Heals the copy, damages it, opens it and reads everything. */
  damaged(damage: (store: string) => void): Promise<Outcome>
  discard(): void
}

/** Copies the store of `source`. */
export const patient = (source: string): Patient => {
  const dir = temporary("copy")
  const store = join(dir, "store")
  const healthy = contents(join(source, "store"))
  const heal = () => {
    mkdirSync(join(store, "db"), { recursive: true })
    const now = contents(store)
    for (const name of now.keys()) if (!healthy.has(name)) rmSync(join(store, name))
    for (const [name, bytes] of healthy) {
      if (now.get(name)?.equals(bytes)) continue
      mkdirSync(dirname(join(store, name)), { recursive: true })
      writeFileSync(join(store, name), bytes)
    }
  }
  return {
    dir,
    async damaged(damage) {
      heal()
      damage(store)
      const before = contents(store)
      const outcome = await outcomeOf(dir)
      return { ...outcome, changed: !same(before, contents(store)) }
    },
    discard: () => discard(dir),
  }
}

const outcomeOf = async (dir: string) => {
  let close: (() => Promise<void>) | undefined
  try {
    const opened = await open(dir)
    close = opened.close
    return { events: await readAll(opened.log) }
  } catch (e) {
    if (!isImagelinkError(e)) throw e
    return { refused: e.code, message: e.message }
  } finally {
    await close?.()
  }
}
