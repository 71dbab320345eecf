/** Go's transparency-log packages agree with a log that we wrote, and refuse it once it was touched. */
import { execFileSync } from "node:child_process"
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { proveConsistency, proveInclusion } from "../../core/log/merkle/prove.ts"
import { verifierKey } from "../../core/log/tiles/note.ts"
import { encodeProof } from "../../core/log/tiles/proof.ts"
import { tileHashes } from "../../core/log/tiles/tile-hashes.ts"
import { memoryTlog, noteKey, publisherOf } from "../log/support/tlog.ts"
import { requires, skipAloud } from "../support/requires.ts"

const packages = "/usr/share/gocode"
const go = requires("go", "golang-go")
const skip =
  go.skip ||
  (!existsSync(`${packages}/src/golang.org/x/mod/sumdb/tlog`) &&
    skipAloud("tlog-go.spec.ts", "needs golang.org/x/mod (Debian package golang-golang-x-mod-dev)").skip)

const folder = mkdtempSync(join(tmpdir(), "imagelink-tlog-go-"))
const checker = join(folder, "checker")
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const key = verifierKey(noteKey)
const dirOf = (name: string): string => join(folder, name)
const check = (dir: string, ...args: ReadonlyArray<string>): string =>
  execFileSync(checker, [key, join(dir, "tlog"), ...args], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  }).trim()

/** A log published at each of these sizes, one after the other. */
const published = async (name: string, sizes: ReadonlyArray<number>) => {
  const dir = dirOf(name)
  const log = memoryTlog()
  const publisher = publisherOf(dir, log)
  const notes: Array<string> = []
  for (const size of sizes) {
    log.grow(size - log.events.length)
    const { note } = await publisher.publish()
    writeFileSync(dirOf(`${name}-${size}.note`), note)
    notes.push(note)
  }
  const size = sizes.at(-1)!
  return { dir, log, size, note: notes.at(-1)!, hashes: tileHashes(publisher.files, size), files: publisher.files }
}

describe.skipIf(skip)("golang.org/x/mod/sumdb", () => {
  beforeAll(() => {
    const env = { ...process.env, GO111MODULE: "off", GOPATH: packages, GOCACHE: join(folder, "cache"), GOFLAGS: "" }
    execFileSync("go", ["build", "-o", checker, join(import.meta.dirname, "tlog/main.go")], { env })
  }, 120_000)

  it.each([1, 2, 255, 256, 257, 1000, 66_000])(
    "finds every tile and bundle of %i entries under the signed root",
    async (size) => {
      const { dir } = await published(`tree-${size}`, [size])
      expect(check(dir, "tree")).toBe(`tree holds for ${size} entries`)
    },
    60_000,
  )

  it("verifies note and inclusion of proof files", async () => {
    const { dir, log, size, note, hashes } = await published("proof", [700])
    const files = [0, 1, 254, 255, 256, 511, 512, 698, 699].map((index) => {
      const file = dirOf(`proof-${index}`)
      writeFileSync(file, encodeProof(log.events[index]!, index, proveInclusion(hashes, index, size), note))
      return file
    })
    expect(check(dir, "proof", ...files)).toBe("proof holds for 700 entries")
    const wrong = dirOf("proof-wrong")
    writeFileSync(wrong, encodeProof(log.events[4]!, 5, proveInclusion(hashes, 5, size), note))
    expect(() => check(dir, "proof", wrong)).toThrow("invalid transparency proof")
  })

  it("verifies consistency between checkpoints", async () => {
    const sizes = [1, 2, 255, 256, 257, 512, 700]
    const { dir, size, hashes } = await published("consistency", sizes)
    for (const old of sizes) {
      const file = dirOf(`consistency-${old}`)
      const proof = proveConsistency(hashes, old, size)
      writeFileSync(file, proof.map((hash) => Buffer.from(hash).toString("base64")).join("\n"))
      expect(check(dir, "consistency", dirOf(`consistency-${old}.note`), file), `from ${old}`).toBe(
        "consistency holds for 700 entries",
      )
    }
    expect(() => check(dir, "consistency", dirOf("consistency-255.note"), dirOf("consistency-256"))).toThrow(
      /Command failed/,
    )
  })

  it("refuses a tile, a bundle and a checkpoint that were touched", async () => {
    for (const name of ["tile/0/000", "tile/entries/001.p/44", "checkpoint"]) {
      const { dir, files } = await published(`touched-${name.replaceAll("/", "-")}`, [300])
      const bytes = files.read(name)!
      bytes[20]! ^= 1
      writeFileSync(files.path(name), bytes)
      expect(() => check(dir, "tree"), name).toThrow(/Command failed/)
    }
  })
})
