/** What a fold loads: reading the link table must not wait for the schema library. */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { expect, it } from "vitest"

const root = resolve(import.meta.dirname, "../..")

/** Specifiers that a file imports at run time: type imports leave no trace. */
const importsOf = (file: string): Array<string> => {
  const source = readFileSync(file, "utf8")
  const statements = source.matchAll(/^(?:import|export)\s+(?!type\b)[^"';]*?from\s+"([^"]+)"|^import\s+"([^"]+)"/gm)
  return Array.from(statements, (m) => (m[1] ?? m[2])!)
}

const reached = (entries: ReadonlyArray<string>): { readonly files: Set<string>; readonly packages: Set<string> } => {
  const files = new Set<string>()
  const packages = new Set<string>()
  const visit = (file: string) => {
    if (files.has(file)) return
    files.add(file)
    for (const specifier of importsOf(file)) {
      if (specifier.startsWith(".")) visit(resolve(dirname(file), specifier))
      else packages.add(specifier)
    }
  }
  for (const entry of entries) visit(entry)
  return { files, packages }
}

it("folding the log loads Effect, the CRC library and node, and no schema", () => {
  const folder = join(root, "core/projections")
  const entries = readdirSync(folder).map((name) => join(folder, name))
  const { files, packages } = reached([...entries, join(root, "core/domain/catalogue.ts")])
  expect([...packages].sort()).toEqual(["@node-rs/crc32", "effect/Effect", "node:assert"])
  expect([...files].every((file) => existsSync(file))).toBe(true)
  expect(files.has(join(root, "core/domain/event-versions.ts"))).toBe(true)
  expect(files.has(join(root, "core/domain/events.ts"))).toBe(false)
})

it("deciding does load the schema, so the walk above sees what there is to see", () => {
  expect(reached([join(root, "core/domain/commands.ts")]).packages).toContain("effect/Schema")
})
