/**
 * The boundaries of the house as data: for each folder, the only things its files may import.
 *
 * **Details** The first rule whose `folder` matches a file judges all of its imports, so the narrow rules come first. `allow` matches a path
 * relative to the root, or a package as it is written; `types` is allowed as `import type` only, `dynamic` as `import()` only. `$1` stands
 * for what the folder's first group matched: "its own folder". Afterwards `everywhere` applies to every file with its own exceptions.
 */
import type { Import } from "./imports.ts"

export interface FolderRule {
  readonly name: string
  readonly folder: RegExp
  readonly allow: ReadonlyArray<string>
  readonly types?: ReadonlyArray<string>
  readonly dynamic?: ReadonlyArray<string>
}

/** Closed lists: `*` matches within one path segment, `**` any rest. */
export const folderRules: ReadonlyArray<FolderRule> = [
  {
    name: "core/block stands alone: bytes, limits, errors and assertions",
    folder: /^core\/block\//,
    allow: ["core/block/**", "core/bytes.ts", "core/limits.ts", "core/errors.ts", "node:assert**"],
    types: ["core/storage/volume.ts"],
  },
  {
    name: "core/storage knows the block contract and the host port, and no I/O",
    folder: /^core\/storage\//,
    allow: [
      "core/storage/**",
      "core/block/**",
      "core/bytes.ts",
      "core/errors.ts",
      "core/host.ts",
      "core/limits.ts",
      "node:assert**",
    ],
  },
  {
    name: "core/domain is pure: Schema, Result and Data of effect, and the log's port as a type",
    folder: /^core\/domain\//,
    allow: [
      "core/domain/**",
      "core/errors.ts",
      "core/limits.ts",
      "effect/Schema*",
      "effect/Result",
      "effect/Data",
      "node:assert**",
      "node:util",
    ],
    types: ["core/log/event-log.ts"],
  },
  {
    // The port answers effects, so whoever reads the log through it runs them.
    name: "core/projections read the domain and the log's port",
    folder: /^core\/projections\//,
    allow: [
      "core/projections/**",
      "core/domain/**",
      "core/errors.ts",
      "core/limits.ts",
      "core/log/event-log.ts",
      "core/bytes.ts",
      "effect/*",
      "node:assert**",
      "node:crypto",
    ],
  },
  {
    name: "core/log uses effect and Node; the database comes in as a type",
    folder: /^core\/log\//,
    allow: ["core/log/**", "core/bytes.ts", "core/errors.ts", "core/limits.ts", "effect/*", "node:**"],
    types: ["abstract-level", "core/domain/events.ts", "core/host.ts"],
  },
  {
    name: "core/runtime binds the core together and touches nothing outside",
    folder: /^core\/runtime\//,
    allow: ["core/**", "effect/*", "node:**"],
  },
  {
    name: "core's own files lean on each other and on the CRC library",
    folder: /^core\/(errors\/)?[^/]+$/,
    allow: ["core/errors/*.ts", "core/*.ts", "core/block/**", "@node-rs/crc32", "node:assert**"],
  },
  {
    name: "a format plugin imports the public door, Node and its own folder",
    folder: /^plugins\/formats\/([^/]+)\//,
    allow: ["imagelink/plugin", "node:**", "plugins/formats/$1/**"],
  },
  {
    name: "the S3 part of plugins/remote brings a signer, the one SDK of its field",
    folder: /^plugins\/remote\/s3\//,
    allow: ["imagelink/plugin", "node:**", "plugins/remote/**", "aws4fetch"],
  },
  {
    name: "a storage plugin imports the public door, Node and its own folder",
    folder: /^plugins\/([^/]+)\//,
    allow: ["imagelink/plugin", "node:**", "plugins/$1/**"],
  },
  {
    name: "the composition root may import everything",
    folder: /^adapters\/compose(-\w+)?\.ts$/,
    allow: ["**"],
  },
  {
    name: "adapters/iscsi speaks through scsi",
    folder: /^adapters\/iscsi\//,
    allow: [
      "core/**",
      "adapters/iscsi/**",
      "adapters/scsi/**",
      "adapters/socket/**",
      "effect/*",
      "@effect/platform-node/*",
      "node:**",
    ],
  },
  {
    name: "adapters/nbd is data plane: core and Node, no effect",
    folder: /^adapters\/nbd\//,
    allow: ["core/**", "adapters/nbd/**", "adapters/socket/**", "node:**"],
  },
  {
    name: "adapters/cli and adapters/console know the API's client side, and load the composition root when they need it",
    folder: /^adapters\/(cli|console)\//,
    allow: [
      "core/**",
      "adapters/$1/**",
      "adapters/api/client.ts",
      "adapters/api/messages.ts",
      "adapters/api/socket-path.ts",
      "node:**",
      "PACKAGE",
    ],
    dynamic: ["adapters/compose.ts", "adapters/compose-doctor.ts", "adapters/compose-server.ts"],
    types: ["adapters/compose-doctor.ts", "adapters/compose-server.ts"],
  },
  {
    name: "an adapter imports core, packages and itself, never another adapter or a plugin",
    folder: /^adapters\/([^/]+)\//,
    allow: ["core/**", "adapters/$1/**", "node:**", "PACKAGE"],
  },
  {
    name: "an example imports the package by name, as anybody would",
    folder: /^examples\/([^/]+)\//,
    allow: ["imagelink/*", "imagelink/conformance/*", "node:**", "examples/$1/**"],
  },
  {
    name: "a conformance suite needs no test runner: core, Node and its own folder",
    folder: /^specs\/conformance\//,
    allow: ["specs/conformance/**", "core/**", "node:**"],
  },
]

/** A package other than our own, as an adapter may bring one for its field. */
const isPackage = (target: string): boolean =>
  /^(@[a-z0-9-]+\/)?[a-z0-9]/.test(target) &&
  !/^(core|plugins|adapters|specs|examples|node_modules)\//.test(target) &&
  !/^(imagelink(\/|$)|node:)/.test(target)

const literally = (text: string): string => text.replace(/[.+?^${}()|[\]\\/]/g, "\\$&")

const matches = (pattern: string, target: string): boolean => {
  if (pattern === "PACKAGE") return isPackage(target)
  const source = pattern
    .split("**")
    .map((part) => part.split("*").map(literally).join("[^/]*"))
    .join(".*")
  return new RegExp(`^${source}$`).test(target)
}

const anyOf = (patterns: ReadonlyArray<string> | undefined, own: string, target: string): boolean =>
  (patterns ?? []).some((pattern) => matches(pattern.replace("$1", own), target))

interface EverywhereRule {
  readonly name: string
  readonly forbids: (one: Import) => boolean
}

export const everywhere: ReadonlyArray<EverywhereRule> = [
  {
    name: "only the composition root knows the container",
    forbids: ({ from, target }) => /^(tsyringe|reflect-metadata)(\/|$)/.test(target) && from !== "adapters/compose.ts",
  },
  {
    name: "effect is imported by module path, never through its barrels",
    forbids: ({ target }) => target === "effect" || target === "@effect/platform-node",
  },
  {
    name: "relative imports name the file with its extension",
    forbids: ({ specifier }) => specifier.startsWith(".") && !/\.(ts|mts|js|mjs|json)$/.test(specifier),
  },
]

/** The broken rules of a graph, one line each: `file imports what (rule)`. */
export const violations = (graph: ReadonlyArray<Import>): ReadonlyArray<string> =>
  graph.flatMap((one) => {
    const line = (rule: string) =>
      `${one.from} imports ${one.target}${one.how === "value" ? "" : ` (${one.how})`}: ${rule}`
    const broken = everywhere.filter((rule) => rule.forbids(one)).map((rule) => line(rule.name))
    for (const rule of folderRules) {
      const folder = rule.folder.exec(one.from)
      if (folder === null) continue
      const own = folder[1] ?? ""
      const allowed =
        anyOf(rule.allow, own, one.target) ||
        (one.how === "type" && anyOf(rule.types, own, one.target)) ||
        (one.how === "dynamic" && anyOf(rule.dynamic, own, one.target))
      return allowed ? broken : [...broken, line(rule.name)]
    }
    return broken
  })
