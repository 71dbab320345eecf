/** The packed tarball, installed elsewhere with no network and an empty cache, as a user does: it starts, it keeps a store, and its plugin door opens. */
import { execFile } from "node:child_process"
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { delimiter, dirname, join } from "node:path"
import { promisify } from "node:util"
import { beforeAll, describe, expect, it } from "vitest"
import { scratch } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"

const root = join(import.meta.dirname, "../..")
const folder = scratch("pack")
const home = join(folder, "home")
const installMillisMax = 120_000

interface Ended {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}
const kept = Object.fromEntries(
  Object.entries(process.env).filter(([key]) => !/^(IMAGELINK_|NODE_OPTIONS|VITEST|npm_)/.test(key)),
)
// Scripts of packages run with the Node that runs this.
kept.PATH = `${dirname(process.execPath)}${delimiter}${kept.PATH}`
const run = (file: string, args: ReadonlyArray<string>, cwd: string, timeout = 30_000): Promise<Ended> =>
  promisify(execFile)(file, [...args], { cwd, timeout, env: kept }).then(
    ({ stdout, stderr }) => ({ status: 0, stdout, stderr }),
    (e) => ({ status: e.code ?? -1, stdout: e.stdout ?? "", stderr: e.stderr || String(e) }),
  )
const npm = (args: ReadonlyArray<string>, cwd: string) => run("npm", args, cwd, installMillisMax)

const install = async (): Promise<void> => {
  if (!existsSync(join(root, "dist"))) {
    const built = await run(process.execPath, ["build.ts"], root, installMillisMax)
    if (built.status !== 0) throw new Error(`build.ts: ${built.stderr}`)
  }
  const packed = await npm(["pack", "--ignore-scripts", "--silent", "--pack-destination", folder], root)
  if (packed.status !== 0) throw new Error(`npm pack: ${packed.stderr}`)
  mkdirSync(home)
  writeFileSync(join(home, "package.json"), '{ "private": true, "type": "module" }')
  const flags = ["--offline", "--cache", join(folder, "nothing-cached"), "--no-audit", "--no-fund", "--ignore-scripts"]
  const installed = await npm(["install", ...flags, join(folder, packed.stdout.trim())], home)
  if (installed.status !== 0) throw new Error(`npm install: ${installed.stderr}`)
}

await install()

describe("the installed package", () => {
  const installed = join(home, "node_modules", "imagelink")
  const bin = join(home, "node_modules", ".bin", "imagelink")
  let data: string
  beforeAll(() => {
    data = join(folder, "data")
  })

  it("holds what runs and what says how, and no sources or specs", () => {
    expect(
      readdirSync(installed)
        .filter((name) => !/^(README\.md|LICENSE|CHANGELOG\.md)$/.test(name))
        .sort(),
    ).toEqual(["bin", "dist", "node_modules", "package.json"])
    expect(readdirSync(installed)).toEqual(expect.arrayContaining(["LICENSE"]))
  })

  it("brings its production dependencies, those of its host's kind among them, and no others", () => {
    const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
    const brought = (name: string) => existsSync(join(installed, "node_modules", name, "package.json"))
    expect([...Object.keys(dependencies), "koffi"].filter((name) => !brought(name))).toEqual([])
    expect(["typescript", "rolldown", "vitest", "@biomejs/biome"].filter(brought)).toEqual([])
    expect(brought(`@node-rs/crc32-linux-${process.arch}-gnu`)).toBe(true)
    expect(readdirSync(join(home, "node_modules")).filter((name) => !name.startsWith("."))).toEqual(["imagelink"])
  })

  it("names nothing of the machine it was built on", () => {
    const own = (readdirSync(installed, { recursive: true }) as Array<string>).filter((f) => !/^node_modules\//.test(f))
    const files = own.filter((f) => /\.(m?js|ts|json)$/.test(f))
    const telling = files.filter((f) => readFileSync(join(installed, f), "utf8").includes(root))
    expect(files.length).toBeGreaterThan(10)
    expect(telling).toEqual([])
  })

  it("tells its version, from any folder", async () => {
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
    expect(await run(bin, ["--version"], "/")).toEqual({ status: 0, stdout: `${version}\n`, stderr: "" })
  })

  it("refuses to list the images of an empty folder, cleanly", async () => {
    const { status, stdout, stderr } = await run(bin, ["image", "list", "--data", data], home)
    expect([status, stdout]).toEqual([1, ""])
    expect(stderr).toMatch(/^error: .* \[DATA_NOT_FOUND\]\n {2}cause: .*\n {2}fix: .*\n$/)
    expect(existsSync(data)).toBe(false)
  })

  it("adds an image and links a client, and drives a demo over the wire", async () => {
    const { path } = rawImage(folder, "disk.raw", 64 * 1024)
    for (const args of [
      ["image", "add", "disk", path],
      ["client", "add", "52:54:00:00:00:01"],
      ["client", "link", "PC-001", "disk"],
      ["rebuild", "--check"],
    ])
      expect(await run(bin, [...args, "--data", data], home)).toMatchObject({ status: 0 })
    const links = await run(bin, ["links", "--json", "--data", data], home)
    expect(JSON.parse(links.stdout)).toMatchObject([{ client: "PC-001", image: "disk" }])
    const demo = await run(bin, ["demo", "--clients", "2", "--size", "1M", "--json"], home)
    expect(JSON.parse(demo.stdout)).toMatchObject({ finished: 2, problems: [] })
  })

  it("opens its plugin door and its conformance suites to other packages, and nothing else", async () => {
    const script = join(home, "door.js")
    writeFileSync(
      script,
      `import { definePlugin, fail, isImagelinkError } from "imagelink/plugin"
       import * as suite from "imagelink/conformance/storage-plugin"
       const inside = await import("imagelink/core/errors.ts").then(() => "open", (e) => e.code)
       console.log(typeof definePlugin, isImagelinkError(fail("CLOSED", { what: "it" })), Object.keys(suite).length > 0, inside)`,
    )
    expect(await run(process.execPath, [script], home)).toEqual({
      status: 0,
      stdout: "function true true ERR_PACKAGE_PATH_NOT_EXPORTED\n",
      stderr: "",
    })
  })

  describe("with the example plugin, a package of its own, beside it", () => {
    const own = join(home, "imagelink-tar")
    const config = () => JSON.stringify({ path: join(own, "lab.tar"), member: "images/win11.raw" })
    beforeAll(async () => {
      const isSource = (path: string) => !path.includes("node_modules")
      cpSync(join(root, "examples/write-a-plugin"), own, { recursive: true, filter: isSource })
      mkdirSync(join(own, "images"))
      rawImage(join(own, "images"), "win11.raw", 512 * 1024)
      const packed = await run("tar", ["-cf", "lab.tar", "images/win11.raw"], own)
      expect(packed).toMatchObject({ status: 0 })
    })

    it("passes its own test, which is the published suite", async () => {
      const { stdout, status } = await npm(["test"], own)
      expect(stdout).toMatch(/^ℹ fail 0$/m)
      expect(Number(/^ℹ pass (\d+)$/m.exec(stdout)?.[1])).toBeGreaterThan(30)
      expect(status).toBe(0)
    })

    it("is checked from the command line, and serves an image to the installed program", async () => {
      const folder = join(home, "with-tar")
      mkdirSync(folder)
      writeFileSync(join(folder, "imagelink.toml"), '[[plugin]]\nmodule = "../imagelink-tar/tar.ts"\n')
      const bytes = ["--bytes", join(own, "images/win11.raw")]
      const checked = await run(bin, ["plugin", "check", "tar", "--config", config(), ...bytes, "--data", folder], home)
      expect(checked).toMatchObject({ status: 0, stderr: "" })
      expect(checked.stdout).toMatch(/\n\d+ promises kept, 0 broken, \d+ skipped\n$/)
      const storage = ["--storage", "tar", "--storage-config", config()]
      const added = await run(bin, ["image", "add", "win11", ...storage, "--data", folder], home)
      expect(added).toMatchObject({ status: 0 })
    })

    it("compiles against the types that the package brings", async () => {
      const compilerOptions = {
        target: "es2023",
        module: "nodenext",
        strict: true,
        noEmit: true,
        allowImportingTsExtensions: true,
        types: ["node"],
        typeRoots: [join(root, "node_modules/@types")],
      }
      writeFileSync(join(own, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }))
      const tsc = join(root, "node_modules/typescript/bin/tsc")
      expect(await run(process.execPath, [tsc, "-p", own], own)).toEqual({ status: 0, stdout: "", stderr: "" })
    })
  })
})
