/**
 * Builds a Debian package of this folder's Imagelink: `node examples/debian/build.ts [--out DIR] [--version V] [--compress xz|zstd]`.
 *
 *     npm ci ─► node_modules, dist ─► stage.ts ─► a root file system ─► dpkg-deb ─► imagelink_V_ARCH.deb
 *
 * **Details** Nothing is fetched, and no root is needed. The package is of the architecture that this runs on, because it brings its own Node. xz is what
 * every Debian reads and takes half a minute; zstd takes seconds and is read from Debian 12 on. DEBFULLNAME and DEBEMAIL name who made it.
 */
import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { parseArgs } from "node:util"
import { describe } from "./describe.ts"
import { root, stage } from "./stage.ts"

const architectures: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" }

const { values } = parseArgs({
  options: {
    out: { type: "string", default: "." },
    version: { type: "string" },
    compress: { type: "string", default: "xz" },
  },
})
const architecture = architectures[process.arch]
if (architecture === undefined) throw new Error(`there is no Node to bring for ${process.arch}`)
const { name, version, description } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
const made = { name, version: values.version ?? `${version}-1`, architecture, description, at: new Date() }

const scratch = mkdtempSync(join(tmpdir(), "imagelink-deb-"))
try {
  const installed = join(scratch, "installed")
  stage(installed)
  describe(installed, made)
  mkdirSync(values.out, { recursive: true })
  const file = resolve(values.out, `${name}_${made.version}_${architecture}.deb`)
  const level = values.compress === "zstd" ? ["-z3"] : []
  const options = ["--root-owner-group", `-Z${values.compress}`, ...level, "--build", installed, file]
  execFileSync("dpkg-deb", options, { stdio: ["ignore", "ignore", "inherit"] })
  process.stdout.write(`${file}\n`)
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
