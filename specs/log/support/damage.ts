/**
 * Copies of a store, damaged on purpose, and what opening and reading them gives.
 */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs"
import { join } from "node:path"
import { isImagelinkError } from "../../../core/errors.ts"
import { open, readAll } from "./store.ts"

/** Files LevelDB keeps its data in; LOCK and LOG hold none. */
export const dataFiles = (store: string): ReadonlyArray<string> =>
  readdirSync(join(store, "store/db"))
    .filter((name) => !/^(LOCK|LOG|LOG\.old)$/.test(name))
    .sort()

/** Every file under `dir` and its bytes, as text. */
export const contents = (dir: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(dir, { recursive: true, encoding: "utf8" })
      .filter((name) => statSync(join(dir, name)).isFile())
      .sort()
      .map((name) => [name, readFileSync(join(dir, name), "latin1")]),
  )

export type Outcome =
  | { readonly refused: string; readonly message: string }
  | { readonly events: ReadonlyArray<unknown> }

/** Copies `source` to `copy`, damages the copy, opens it and reads everything. Asserts that a refusal before opening changed nothing. */
export const damaged = async (
  source: string,
  copy: string,
  damage: (store: string) => void,
): Promise<Outcome & { readonly changed: boolean }> => {
  rmSync(copy, { recursive: true, force: true })
  mkdirSync(copy)
  cpSync(join(source, "store"), join(copy, "store"), { recursive: true })
  damage(join(copy, "store"))
  const before = JSON.stringify(contents(join(copy, "store")))
  const outcome = await outcomeOf(copy)
  return { ...outcome, changed: JSON.stringify(contents(join(copy, "store"))) !== before }
}

const outcomeOf = async (dir: string): Promise<Outcome> => {
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
