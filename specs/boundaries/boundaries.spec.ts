/**
 * Walks the import graph and holds the boundaries of the house; each rule has a fixture that breaks it and must be caught.
 */
import { existsSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { findCycle, importGraph, importsIn } from "./imports.ts"
import { everywhere, folderRules, violations } from "./rules.ts"

const root = join(import.meta.dirname, "../..")
const fixtures = join(root, "specs/fixtures/boundaries")
const folders = ["core", "plugins", "adapters", "examples", "specs/conformance"]

/** Fixture → the whole of what is wrong with it. */
const expected: Readonly<Record<string, string>> = {
  "adapter-imports-a-plugin":
    "adapters/api/images.ts imports plugins/file/index.ts: an adapter imports core, packages and itself, never another adapter or a plugin",
  "adapter-imports-another-adapter":
    "adapters/http/server.ts imports adapters/tftp/server.ts: an adapter imports core, packages and itself, never another adapter or a plugin",
  "block-does-io":
    "core/block/journal.ts imports node:fs: core/block stands alone: bytes, limits, errors and assertions",
  "block-reaches-storage":
    "core/block/overlay.ts imports core/storage/guard.ts: core/block stands alone: bytes, limits, errors and assertions",
  "block-uses-effect":
    "core/block/cache.ts imports effect/Effect: core/block stands alone: bytes, limits, errors and assertions",
  "cli-needs-the-composition-root":
    "adapters/cli/main.ts imports adapters/compose.ts: adapters/cli and adapters/console know the API's client side, and load the composition root when they need it",
  "cli-reaches-into-the-api":
    "adapters/cli/client.ts imports adapters/api/server.ts: adapters/cli and adapters/console know the API's client side, and load the composition root when they need it",
  "container-outside-the-root":
    "adapters/dhcp/server.ts imports reflect-metadata: only the composition root knows the container",
  "core-file-reaches-up":
    "core/errors.ts imports core/domain/decide.ts: core's own files lean on each other and on the CRC library",
  "domain-needs-the-log":
    "core/domain/history.ts imports core/log/event-log.ts: core/domain is pure: Schema, Result and Data of effect, and the log's port as a type",
  "domain-reads-the-clock":
    "core/domain/decide.ts imports effect/Clock: core/domain is pure: Schema, Result and Data of effect, and the log's port as a type",
  "effect-through-its-barrel":
    "core/log/barrel.ts imports effect: effect is imported by module path, never through its barrels",
  "example-reaches-inside":
    "examples/backup/main.ts imports core/errors.ts: an example imports the package by name, as anybody would",
  "format-imports-another-format":
    "plugins/formats/vhd/index.ts imports plugins/formats/raw/index.ts: a format plugin imports the public door, Node and its own folder",
  "import-without-extension":
    "core/storage/guard.ts imports core/storage/judge: relative imports name the file with its extension",
  "iscsi-imports-nbd": "adapters/iscsi/session.ts imports adapters/nbd/errno.ts: adapters/iscsi speaks through scsi",
  "log-brings-its-database":
    "core/log/level-log.ts imports abstract-level: core/log uses effect and Node; the database comes in as a type",
  "nbd-uses-effect":
    "adapters/nbd/server.ts imports effect/Effect: adapters/nbd is data plane: core and Node, no effect",
  "plugin-imports-another-plugin":
    "plugins/ramdisk/index.ts imports plugins/file/index.ts: a storage plugin imports the public door, Node and its own folder",
  "plugin-reaches-past-the-door":
    "plugins/remote/index.ts imports core/errors.ts: a storage plugin imports the public door, Node and its own folder",
  "plugin-uses-effect":
    "plugins/remote/http.ts imports effect/Effect (type): a storage plugin imports the public door, Node and its own folder",
  "projection-reaches-the-store":
    "core/projections/links.ts imports core/log/level-log.ts: core/projections read the domain and the log's port",
  "runtime-reaches-an-adapter":
    "core/runtime/disks.ts imports adapters/nbd/session.ts (type): core/runtime binds the core together and touches nothing outside",
  "s3-brings-another-client":
    "plugins/remote/s3/sign.ts imports @aws-sdk/client-s3: the S3 part of plugins/remote brings a signer, the one SDK of its field",
  "storage-does-io":
    "core/storage/load.ts imports node:fs: core/storage knows the block contract and the host port, and no I/O",
  "storage-reaches-a-plugin":
    "core/storage/registry.ts imports plugins/file/index.ts (dynamic): core/storage knows the block contract and the host port, and no I/O",
  "suite-brings-its-runner":
    "specs/conformance/event-log.ts imports vitest: a conformance suite needs no test runner: core, Node and its own folder",
}

describe("the sources", () => {
  const graph = importGraph(root, folders)

  it("keep every boundary", () => {
    expect(violations(graph)).toEqual([])
  })

  it("import only files that are there", () => {
    const missing = graph.filter(
      ({ specifier, target }) => specifier.startsWith(".") && !existsSync(join(root, target)),
    )
    expect(missing.map(({ from, specifier }) => `${from} imports ${specifier}`)).toEqual([])
  })

  it("need each other in no ring", () => {
    expect(findCycle(graph)).toBeUndefined()
  })

  it("import something, so that a walker which finds nothing does not pass", () => {
    expect(graph.length).toBeGreaterThan(50)
    expect(graph).toContainEqual({
      from: "core/storage/volume.ts",
      specifier: "../block/device.ts",
      target: "core/block/device.ts",
      how: "type",
    })
  })
})

describe("the rules", () => {
  it.each(Object.entries(expected))("catch the fixture %s", (fixture, line) => {
    const graph = importGraph(join(fixtures, fixture), folders)
    expect(violations(graph)).toContain(line)
    expect(new Set(violations(graph).map((one) => one.split(" imports ")[1]!.split(":")[0]))).toHaveProperty("size", 1)
  })

  it("catch a ring of three files, and name it", () => {
    expect(findCycle(importGraph(join(fixtures, "cycle"), folders))).toEqual([
      "core/block/a.ts",
      "core/block/b.ts",
      "core/block/c.ts",
      "core/block/a.ts",
    ])
  })

  it("let pass what is allowed, also in a comment", () => {
    const graph = importGraph(join(fixtures, "all-allowed"), folders)
    expect(graph.length).toBe(19)
    expect(violations(graph)).toEqual([])
  })

  it("are each broken by some fixture, and every fixture is used", () => {
    const lines = Object.values(expected)
    const unbroken = [...folderRules, ...everywhere].filter(
      ({ name }) => !lines.some((line) => line.endsWith(`: ${name}`)),
    )
    expect(unbroken.map(({ name }) => name)).toEqual(["the composition root may import everything"])
    expect(readdirSync(fixtures).sort()).toEqual([...Object.keys(expected), "all-allowed", "cycle"].sort())
  })
})

it("finds every form of import", () => {
  const text = [
    'import a from "./a.ts"',
    'import type { B } from "./b.ts"',
    "import {",
    "  c,",
    "  type C,",
    '} from "./c.ts"',
    'import "./d.ts"',
    'import * as e from "./e.ts"',
    'export * from "./f.ts"',
    'export { g } from "./g.ts"',
    'export type { H } from "./h.ts"',
    'const i = async () => await import("./i.ts")',
    'type J = typeof import("./j.ts")',
    'export const from = "./not.ts"',
    ' * import no from "./comment.ts"',
    '// import("./comment.ts")',
  ].join("\n")
  expect(importsIn("x/y.ts", text).map(({ target, how }) => `${target} ${how}`)).toEqual([
    "x/a.ts value",
    "x/b.ts type",
    "x/c.ts value",
    "x/d.ts value",
    "x/e.ts value",
    "x/f.ts value",
    "x/g.ts value",
    "x/h.ts type",
    "x/i.ts dynamic",
    "x/j.ts dynamic",
  ])
})
