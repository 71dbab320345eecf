/**
 * The Debian disk that specs boot: built once for a recipe, and kept.
 *
 * **Details** It is kept in `node_modules/.cache/imagelink`, or where IMAGELINK_SPEC_CACHE says, named after a hash of the files that make it. Spec files that want it at
 * the same moment wait for the first (flock). Nobody writes it: the server serves it in place.
 */
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { debianSources, LOADERS } from "./debian-build.ts"
import { requiresEfi } from "./efi-program.ts"
import { requiresNetwork, runBounded } from "./network.ts"
import { type Requirement, requires, skipAloud } from "./requires.ts"

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const folder = process.env.IMAGELINK_SPEC_CACHE ?? here("../../node_modules/.cache/imagelink")

/** Two minutes on two busy cores, and as long again for a mirror that is far away. */
export const BUILD_SECONDS = 480

const recipe = (): string => {
  const hash = createHash("sha256")
  for (const file of ["debian-build.ts", "debian-files.ts"]) hash.update(readFileSync(here(file)))
  return hash.digest("hex").slice(0, 16)
}

/** Everything that booting it takes, and where it has to be made first, what that takes. */
export const requiresDebian = (spec: string): Requirement => {
  const booting = [
    requiresNetwork(spec),
    requires("qemu-system-x86_64", "qemu-system-x86", spec),
    requires("dnsmasq", "dnsmasq-base", spec),
  ]
  const missing = booting.find((n) => n.skip)
  return missing ?? (existsSync(image()) ? booting[0]! : requiresBuilding(spec))
}

const requiresBuilding = (spec: string): Requirement => {
  const tools = [
    requires("mmdebstrap", "mmdebstrap", spec),
    requires("grub-mkimage", "grub-common", spec),
    requires("mke2fs", "e2fsprogs", spec),
    ...requiresEfi(spec),
  ]
  const missing = tools.find((n) => n.skip)
  if (missing !== undefined) return missing
  const loader = LOADERS.find(({ file }) => !existsSync(file))
  if (loader !== undefined) return skipAloud(spec, `needs ${loader.file} (Debian package ${loader.package})`)
  return debianSources().length > 0 ? tools[0]! : skipAloud(spec, "needs a mirror of Debian among apt's sources")
}

const image = () => join(folder, `debian-${recipe()}.raw`)

/** Its path, when it is there. */
export const debianImage = async (): Promise<string> => {
  const file = image()
  if (existsSync(file)) return file
  mkdirSync(folder, { recursive: true })
  const build = `test -e "$1" || "$2" "$3" "$1"`
  const args = ["sh", "-c", build, "sh", file, process.execPath, here("debian-build.ts")]
  const { status, output } = await runBounded(["flock", join(folder, "lock"), ...args], BUILD_SECONDS)
  if (status !== 0 || !existsSync(file)) throw new Error(`no Debian was built (${status}): ${output.slice(-4000)}`)
  return file
}
