/**
 * What the package puts where, under a folder that stands for the root of a file system.
 *
 *     /usr/lib/imagelink      bin, dist, and of node_modules what the bundle leaves outside: Node itself, and native modules
 *     /usr/bin/imagelink      the same program, at home in /var/lib/imagelink
 *     /etc/imagelink          imagelink.toml, a configuration file that upgrades leave alone
 *     the service, its user and folders; the manual page; completions
 */
import { execFileSync } from "node:child_process"
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { gzipSync } from "node:zlib"

const here = import.meta.dirname
export const root = join(here, "../..")

const native = `${process.platform}-${process.arch}`

/** Modules that are not in the bundle, less what only building and reading them takes. */
export const modules: Readonly<Record<string, ReadonlyArray<string>>> = {
  [`node-${native}`]: ["package.json", "bin/node"],
  "@node-rs/crc32": ["package.json", "index.js"],
  [`@node-rs/crc32-${native}-gnu`]: ["package.json", `crc32.${native}-gnu.node`],
  "classic-level": ["package.json", "binding.js", `prebuilds/${native}/classic-level.node`],
  "node-gyp-build": ["package.json", "index.js", "node-gyp-build.js"],
  koffi: ["package.json", "index.cjs", "src/koffi/index.cjs", "src/koffi/src/static.cjs"],
  [`@koromix/koffi-${native}`]: ["package.json", "index.js", `${native.replace("-", "_")}/koffi.node`],
}

export const stage = (to: string): void => {
  // The user's umask is not the package's.
  process.umask(0o022)
  const lib = join(to, "usr/lib/imagelink")
  place("bin/imagelink", join(lib, "bin/imagelink"), 0o755)
  place("package.json", join(lib, "package.json"))
  cpSync(join(root, "dist"), join(lib, "dist"), { recursive: true, filter: (path) => !/compile-cache/.test(path) })
  for (const [name, files] of Object.entries(modules)) placeModule(lib, name, files)
  place("examples/debian/imagelink.sh", join(to, "usr/bin/imagelink"), 0o755)
  place("examples/debian/imagelink.toml", join(to, "etc/imagelink/imagelink.toml"))
  const systemd = (file: string, where: string) => place(`examples/systemd/${file}`, join(to, "usr/lib", where))
  systemd("imagelink.sysusers", "sysusers.d/imagelink.conf")
  systemd("imagelink.tmpfiles", "tmpfiles.d/imagelink.conf")
  place("examples/systemd/imagelink.service", join(to, "lib/systemd/system/imagelink.service"))
  placeManual(to)
}

const place = (file: string, to: string, mode = 0o644): void => {
  mkdirSync(dirname(to), { recursive: true })
  cpSync(join(root, file), to)
  chmodSync(to, mode)
}

const placeModule = (lib: string, name: string, files: ReadonlyArray<string>): void => {
  const from = join(root, "node_modules", name)
  if (!existsSync(from)) throw new Error(`${from} is missing: run 'npm ci'`)
  const to = join(lib, "node_modules", name)
  for (const file of files) place(join("node_modules", name, file), join(to, file), file === "bin/node" ? 0o755 : 0o644)
}

/** Printed by the very program that is packed. */
const placeManual = (to: string): void => {
  const print = (...args: ReadonlyArray<string>) => execFileSync(join(root, "bin/imagelink"), args)
  const write = (file: string, bytes: Uint8Array) => {
    mkdirSync(dirname(join(to, file)), { recursive: true })
    writeFileSync(join(to, file), bytes)
  }
  write("usr/share/man/man1/imagelink.1.gz", gzipSync(print("man"), { level: 9 }))
  write("usr/share/bash-completion/completions/imagelink", print("completions", "bash"))
  write("usr/share/zsh/vendor-completions/_imagelink", print("completions", "zsh"))
  write("usr/share/fish/vendor_completions.d/imagelink.fish", print("completions", "fish"))
  write("usr/share/doc/imagelink/changelog.gz", gzipSync(readFileSync(join(root, "CHANGELOG.md")), { level: 9 }))
}
