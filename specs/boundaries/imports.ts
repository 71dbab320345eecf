/**
 * Reads the import graph of a source tree with a regular expression: who imports what, as a type or for real.
 *
 * **Details** Statements begin at the start of a line, which the formatter guarantees; so text inside comments, which is indented by ` * `,
 * is not taken for code. `import("x")` is found anywhere but in a comment line; its specifier must be written out to be seen.
 *
 * Not done: a parser. The spec proves with fixtures that every form which the sources use is found.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join, normalize } from "node:path/posix"

export interface Import {
  /** Path of the importing file, relative to the root. */
  readonly from: string
  /** As it is written. */
  readonly specifier: string
  /** Path relative to the root for a relative specifier; else the specifier. */
  readonly target: string
  readonly how: "value" | "type" | "dynamic"
}

const statement = /^(?:import|export)\s+(type\s+)?(?:[\w$\s{},*]*?\s+from\s+)?["']([^"'\n]+)["']/gm
const dynamic = /^(?!\s*(?:\*|\/\/)).*?\bimport\(\s*["']([^"'\n]+)["']\s*\)/gm

/** The imports of one file's text. */
export const importsIn = (from: string, text: string): ReadonlyArray<Import> => {
  const found = (specifier: string, how: Import["how"]): Import => ({
    from,
    specifier,
    target: specifier.startsWith(".") ? normalize(join(dirname(from), specifier)) : specifier,
    how,
  })
  return [
    ...[...text.matchAll(statement)].map(([, type, specifier]) =>
      found(specifier!, type === undefined ? "value" : "type"),
    ),
    ...[...text.matchAll(dynamic)].map(([, specifier]) => found(specifier!, "dynamic")),
  ]
}

/** Source files below the given folders, relative to the root, sorted. A folder that is not there is empty. */
export const sourceFiles = (root: string, folders: ReadonlyArray<string>): ReadonlyArray<string> =>
  folders
    .filter((folder) => existsSync(join(root, folder)))
    .flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((name) => `${folder}/${name}`),
    )
    .filter((name) => /\.(ts|mts|js|mjs)$/.test(name) && !/(^|\/)node_modules\//.test(name))
    .sort()

export const importGraph = (root: string, folders: ReadonlyArray<string>): ReadonlyArray<Import> =>
  sourceFiles(root, folders).flatMap((file) => importsIn(file, readFileSync(join(root, file), "utf8")))

/** The first ring of files that need each other while loading; types are gone by then, and a dynamic import comes later. */
export const findCycle = (graph: ReadonlyArray<Import>): ReadonlyArray<string> | undefined => {
  const next = new Map<string, Array<string>>()
  for (const { from, target, how } of graph) if (how === "value") next.set(from, [...(next.get(from) ?? []), target])
  const done = new Set<string>()
  const walk = (file: string, path: ReadonlyArray<string>): ReadonlyArray<string> | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file]
    if (done.has(file)) return undefined
    for (const target of next.get(file) ?? []) {
      const cycle = walk(target, [...path, file])
      if (cycle !== undefined) return cycle
    }
    done.add(file)
    return undefined
  }
  for (const file of next.keys()) {
    const cycle = walk(file, [])
    if (cycle !== undefined) return cycle
  }
  return undefined
}
