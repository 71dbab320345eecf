/** What dpkg is told about the package: control files, scripts, checksums, and under /usr/share/doc who holds the rights to what is in it. */
import { createHash } from "node:crypto"
import { cpSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join, relative } from "node:path"
import { gzipSync } from "node:zlib"
import { root } from "./stage.ts"

export interface Made {
  readonly name: string
  readonly version: string
  readonly architecture: string
  readonly description: string
  readonly at: Date
}

/** Node's own needs, and who makes the service's user where there is no systemd. */
const DEPENDS = ["adduser", "libc6 (>= 2.28)", "libgcc-s1", "libstdc++6 (>= 9)"]

/** `to` holds what is installed already. */
export const describe = (to: string, made: Made): void => {
  const control = join(to, "DEBIAN")
  mkdirSync(control)
  writeDocs(join(to, "usr/share/doc", made.name), made)
  cpSync(join(root, "examples/debian/lintian-overrides"), join(to, "usr/share/lintian/overrides", made.name))
  const files = filesIn(to)
  writeFileSync(join(control, "control"), controlText(made, files))
  writeFileSync(join(control, "conffiles"), "/etc/imagelink/imagelink.toml\n")
  writeFileSync(join(control, "md5sums"), files.map((file) => `${md5(file)}  ${relative(to, file)}\n`).join(""))
  for (const script of ["postinst", "prerm", "postrm"])
    writeFileSync(join(control, script), readFileSync(join(root, "examples/debian", script)), { mode: 0o755 })
}

/** Below DEBIAN is nothing that is installed. */
const filesIn = (to: string): ReadonlyArray<string> =>
  readdirSync(to, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.parentPath.startsWith(join(to, "DEBIAN")))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()

const md5 = (file: string) => createHash("md5").update(readFileSync(file)).digest("hex")

const maintainer = () =>
  `${process.env.DEBFULLNAME ?? "Imagelink"} <${process.env.DEBEMAIL ?? "imagelink@example.org"}>`

/** Debian policy, section 5.3. */
const controlText = ({ name, version, architecture, description }: Made, files: ReadonlyArray<string>): string => {
  const kibibytes = files.reduce((sum, file) => sum + Math.ceil(lstatSync(file).size / 1024), 0)
  return `Package: ${name}
Version: ${version}
Architecture: ${architecture}
Maintainer: ${maintainer()}
Installed-Size: ${kibibytes}
Depends: ${DEPENDS.join(", ")}
Recommends: ipxe
Suggests: qemu-utils, sleuthkit
Section: net
Priority: optional
Description: diskless-boot server
${wrapped(description)}
 .
 The service listens on loopback until /etc/imagelink/imagelink.toml says more.
`
}

/** A description's lines begin with a space, and none is longer than 80 characters. */
const wrapped = (text: string): string => text.replace(/(.{1,77})(?: |$)/g, " $1\n").trimEnd()

const writeDocs = (folder: string, made: Made): void => {
  const { name, version, at } = made
  const date = at.toUTCString().replace("GMT", "+0000")
  const entry = `${name} (${version}) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- ${maintainer()}  ${date}\n`
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, "changelog.Debian.gz"), gzipSync(entry, { level: 9 }))
  writeFileSync(join(folder, "copyright"), copyrightText())
}

interface Locked {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean; readonly version?: string }>>
}

/** Of everything that a production install has here, because the bundle holds parts of it. */
const copyrightText = (): string => {
  const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as Locked
  const production = Object.keys(packages).filter((path) => path !== "" && !packages[path]!.dev)
  const own = "Imagelink is under the Apache License 2.0; see /usr/share/common-licenses/Apache-2.0.\n"
  return [own, "It holds or bundles these works, each under its own terms:\n", ...production.flatMap(termsOf)].join(
    "\n",
  )
}

const termsOf = (path: string): ReadonlyArray<string> => {
  const names = listed(join(root, path))
  if (!names.includes("package.json")) return []
  const { name, version, license } = JSON.parse(readFileSync(join(root, path, "package.json"), "utf8"))
  const texts = names
    .filter((file) => /^(licen[cs]e|copying|notice)/i.test(file))
    .map((file) => readFileSync(join(root, path, file), "utf8"))
  const rule = "-".repeat(78)
  return [rule, `${name} ${version}: ${license ?? "see its text"}\n`, ...texts.map((text) => `${text.trimEnd()}\n`)]
}

/** Packages for other systems are in the lock, and not here. */
const listed = (folder: string): ReadonlyArray<string> => {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
