/**
 * Bundles the command line, the public doors and the conformance suites into dist/ (`npm run prepare`), with their types.
 *
 * **Details** One directory with shared chunks, so that a verb loads what it needs and no more. What printing the link table loads is one file,
 * because opening fifty small ones takes longer than running them. Native modules stay outside the bundle.
 * `dist/imagelink.mjs` turns V8's compile cache on before anything else is loaded (15 ms of a command's start); the first runs here fill it.
 */
import { spawnSync } from "node:child_process"
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "rolldown"
import { limits } from "./core/limits.ts"

const suites = readdirSync("specs/conformance").filter((file) => file.endsWith(".ts"))
const doors = {
  plugin: "./core/storage/door.ts",
  ...Object.fromEntries(suites.map((file) => [`conformance/${file.slice(0, -3)}`, `./specs/conformance/${file}`])),
}
/** `transfers` is a thread's. */
const input = { main: "./adapters/cli/main.ts", ...doors, transfers: "./adapters/compose-transfers.ts" }

/** What would slow the start down for nothing: dozens of small files of the database's, and a module that only external subcommands need. */
const lean = {
  name: "lean",
  resolveId(source: string, importer: string | undefined) {
    if (source === "./binding" && importer?.includes("classic-level"))
      return { id: "classic-level/binding.js", external: true }
    if (source === "node:child_process" && importer?.includes("commander")) return "\0no-child-process"
    return null
  },
  load: (id: string) => (id === "\0no-child-process" ? "export default {}" : null),
}

/** Prints the path of every module that is loaded, on standard error. */
const tellLoads = `import { registerHooks } from "node:module"
registerHooks({ load(url, context, next) { if (url.startsWith("file:")) process.stderr.write("\\n" + url + "\\n"); return next(url, context) } })`

/** The files that a command loads from the sources. */
const loadedBy = (...args: ReadonlyArray<string>): ReadonlySet<string> => {
  const flags = ["--conditions=source", "--import", `data:text/javascript,${encodeURIComponent(tellLoads)}`]
  const { status, stderr } = spawnSync(process.execPath, [...flags, ...args], { encoding: "utf8" })
  if (status !== 0) throw new Error(`${args.join(" ")} ended with ${status}: ${stderr}`)
  const urls = stderr.split("\n").filter((line) => line.startsWith("file:"))
  return new Set(urls.map((url) => fileURLToPath(url)))
}

const scratch = mkdtempSync(join(tmpdir(), "imagelink-build-"))
const cli = (...args: ReadonlyArray<string>) => ["adapters/cli/main.ts", ...args, "--data", scratch]
// as many as make a checkpoint worth its file: printing from one opens no database
const macs = Array.from(
  { length: limits.checkpointEventsMin },
  (_, n) => `52:54:00:00:00:${n.toString(16).padStart(2, "0")}`,
)
writeFileSync(join(scratch, "clients.csv"), `mac\n${macs.join("\n")}\n`)
for (const args of [["client", "import", join(scratch, "clients.csv")], ["links"]]) loadedBy(...cli(...args))
const ofStart = loadedBy(...cli("links"))
const ofDoors = loadedBy(
  "--input-type=module",
  "--eval",
  Object.values(doors)
    .map((file) => `await import("${file}")`)
    .join("\n"),
)
const groups = [
  { name: "door", test: (id: string) => ofStart.has(id) && ofDoors.has(id) },
  { name: "start", test: (id: string) => ofStart.has(id) && !ofDoors.has(id) && !id.endsWith("/cli/main.ts") },
]

rmSync("dist", { recursive: true, force: true })
await build({
  input,
  platform: "node",
  external: ["@node-rs/crc32"],
  plugins: [lean],
  resolve: { conditionNames: ["source", "node", "import", "default"] },
  output: {
    dir: "dist",
    format: "esm",
    minify: true,
    entryFileNames: "[name].mjs",
    chunkFileNames: "chunks/[name]-[hash].mjs",
    codeSplitting: { groups },
  },
})

const types = spawnSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json"], {
  stdio: "inherit",
})
if (types.status !== 0) process.exit(types.status ?? 1)

writeFileSync(
  "dist/imagelink.mjs",
  `import { enableCompileCache } from "node:module"
import { fileURLToPath } from "node:url"
enableCompileCache(fileURLToPath(new URL("compile-cache", import.meta.url)))
await import("./main.mjs")
`,
)
const run = (...args: ReadonlyArray<string>) =>
  spawnSync(process.execPath, ["dist/imagelink.mjs", ...args, "--data", scratch], { stdio: "ignore" })
run("client", "add", "52:54:00:00:00:01")
for (const verb of ["links", "history"]) run(verb)
rmSync(scratch, { recursive: true, force: true })
