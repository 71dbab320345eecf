/** An archive says what the log said, and whatever is changed about it is detected, and located where it is an event. */
import { spawnSync } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { exportArchive } from "../../../core/log/archive/export.ts"
import { encodeHeader, paddingOf } from "../../../core/log/archive/tar.ts"
import { type VerifyArchiveOptions, verifyArchive } from "../../../core/log/archive/verify.ts"
import { decodeBundle, encodeBundle } from "../../../core/log/tiles/bundle.ts"
import { verifierKey } from "../../../core/log/tiles/note.ts"
import type { Published } from "../../../core/log/tiles/publisher.ts"
import { random } from "../support/random.ts"
import { discard, temporary } from "../support/store.ts"
import { event, memoryTlog, noteKey, published as publishedFiles, publisherOf } from "../support/tlog.ts"

const folder = temporary("archive")
afterAll(() => discard(folder))
const size = 600
let archive: Buffer
let published: Published
let older: Published

const exported = async (count: number, path: string, force = false) => {
  const log = memoryTlog(count)
  const dir = join(folder, `log-${count}`)
  const note = await publisherOf(dir, log).publish()
  await exportArchive({ log, published: note, path, force })
  return note
}
let n = 0
/** Verifies these bytes as an archive. */
const verify = (bytes: Uint8Array, more: Partial<VerifyArchiveOptions> = {}) => {
  const file = join(folder, `${++n}.tar`)
  writeFileSync(file, bytes)
  return verifyArchive({ file, ...more })
}
const held = async (bytes: Uint8Array, hint: string, more: Partial<VerifyArchiveOptions> = {}) => {
  const e = await verify(bytes, more).then(
    () => expect.fail(`it held: ${hint}`),
    (e: { code: string; message: string; reason: string }) => e,
  )
  return { code: e.code, message: e.message.replace(/^.*\.tar: /, ""), reason: e.reason }
}

interface Member {
  readonly name: string
  readonly bytes: Buffer
}
const members = (tar: Buffer): Array<Member> => {
  const found: Array<Member> = []
  for (let at = 0; tar[at] !== 0; ) {
    const name = /^[^\0]+/.exec(tar.subarray(at, at + 100).toString("latin1"))![0]
    const length = Number.parseInt(tar.subarray(at + 124, at + 135).toString("latin1"), 8)
    found.push({ name, bytes: tar.subarray(at + 512, at + 512 + length) })
    at += 512 + length + paddingOf(length)
  }
  return found
}
const packed = (files: ReadonlyArray<Member>): Buffer =>
  Buffer.concat([
    ...files.flatMap(({ name, bytes }) => [
      encodeHeader(name, bytes.length),
      bytes,
      Buffer.alloc(paddingOf(bytes.length)),
    ]),
    Buffer.alloc(1024),
  ])
/** The archive with its events changed, as somebody would who knows the format and leaves the tiles alone. */
const withEvents = (change: (events: Array<Uint8Array>) => void): Buffer => {
  const files = members(archive)
  const isBundle = ({ name }: Member) => name.startsWith("tlog/tile/entries/")
  const bundles = files.filter(isBundle)
  const events = bundles.flatMap(({ bytes }) => [...decodeBundle(bytes)!])
  change(events)
  const again = bundles.map(({ name }, i) => ({
    name,
    bytes: Buffer.from(encodeBundle(events.slice(i * 256, (i + 1) * 256))),
  }))
  return packed(files.map((file) => again.find(({ name }) => name === file.name) ?? file))
}
const positions = (r: ReturnType<typeof random>) => [
  ...[1, 2, 255, 256, 257, 512, 513, size],
  ...Array.from({ length: 30 }, () => 1 + r.below(size)),
]

beforeAll(async () => {
  older = await exported(300, join(folder, "older.tar"))
  published = await exported(size, join(folder, "whole.tar"))
  archive = readFileSync(join(folder, "whole.tar"))
})

describe("an archive", () => {
  it("holds, by its own key and by the one that is known", async () => {
    const answer = { size, root: published.root, key: verifierKey(noteKey) }
    expect(await verify(archive)).toEqual(answer)
    expect(await verify(archive, { key: verifierKey(noteKey) })).toEqual(answer)
  })

  it.each([0, 1, 255, 256, 257])("of %d events holds", async (count) => {
    const path = join(folder, `count-${count}.tar`)
    await exported(count, path)
    expect(await verifyArchive({ file: path })).toMatchObject({ size: count })
  })

  it("is the same file each time", async () => {
    await exported(size, join(folder, "again.tar"))
    expect(readFileSync(join(folder, "again.tar")).equals(archive)).toBe(true)
  })

  it("unpacks with tar to exactly what is published, and the key", () => {
    const to = join(folder, "unpacked")
    mkdirSync(to)
    expect(spawnSync("tar", ["-xf", join(folder, "whole.tar"), "-C", to]).status).toBe(0)
    const files = new Map(publishedFiles(to))
    expect(files.get("key")?.toString()).toBe(`${verifierKey(noteKey)}\n`)
    files.delete("key")
    expect(files).toEqual(publishedFiles(join(folder, `log-${size}`)))
  })

  it("extends a checkpoint that was kept", async () => {
    const kept = (p: Published) => ({ kept: { note: p.note, file: "kept.note" } })
    expect(await verify(archive, kept(older))).toMatchObject({ kept: 300 })
    expect(await verify(archive, kept(published))).toMatchObject({ kept: size })
  })

  it("does not replace a file unless that is asked for, and leaves nothing beside it", async () => {
    const path = join(folder, "taken/kept.tar")
    mkdirSync(join(folder, "taken"))
    writeFileSync(path, "mine")
    await expect(exported(300, path)).rejects.toMatchObject({ code: "FILE_EXISTS" })
    expect(readFileSync(path, "utf8")).toBe("mine")
    await exported(300, path, true)
    expect(readFileSync(path).equals(readFileSync(join(folder, "older.tar")))).toBe(true)
    expect(readdirSync(join(folder, "taken"))).toEqual(["kept.tar"])
  })

  it("is not written for events that are not those of the checkpoint, nor when it is cancelled", async () => {
    mkdirSync(join(folder, "none"))
    const log = memoryTlog(size)
    const path = join(folder, "none/it.tar")
    const signal = AbortSignal.abort()
    await expect(exportArchive({ log, published, path, force: false, signal })).rejects.toMatchObject({
      code: "CANCELLED",
    })
    log.events[299] = event(300, "other")
    await expect(exportArchive({ log, published, path, force: false })).rejects.toMatchObject({ code: "AUDIT_FAILED" })
    expect(readdirSync(join(folder, "none"))).toEqual([])
  })

  it("clears away what a killed export left beside it", async () => {
    mkdirSync(join(folder, "left"))
    writeFileSync(join(folder, "left/it.tar.new-999999999-1"), "half")
    await exported(300, join(folder, "left/it.tar"))
    expect(readdirSync(join(folder, "left"))).toEqual(["it.tar"])
  })
})

describe("what was changed is found:", () => {
  it("any one byte, wherever it is", async () => {
    const r = random(51)
    const places = Array.from({ length: 300 }, () => r.below(archive.length))
    for (const at of [0, 511, 512, archive.length - 1025, archive.length - 1024, archive.length - 1, ...places]) {
      const wrong = Buffer.from(archive)
      wrong[at]! ^= 1 << r.below(8)
      const { code } = await held(wrong, `byte ${at}`)
      expect([at, code]).toEqual([at, expect.stringMatching(/^ARCHIVE_(DAMAGED|REFUSED)$/)])
    }
  })

  it("where an event was changed", async () => {
    const r = random(52)
    for (const position of positions(r)) {
      const bytes = withEvents((events) => {
        const wrong = Uint8Array.from(events[position - 1]!)
        wrong[r.below(wrong.length)]! ^= 1 << r.below(8)
        events[position - 1] = wrong
      })
      const { message } = await held(bytes, `event ${position}`)
      expect(message).toBe(`the log does not hold at position ${position}`)
    }
  })

  it("where an event was dropped, those after it moved down", async () => {
    for (const position of positions(random(53))) {
      const { message } = await held(
        withEvents((events) => events.splice(position - 1, 1)),
        `${position}`,
      )
      expect(message).toBe(`the log does not hold at position ${position}`)
    }
  })

  it("where two events were swapped", async () => {
    const r = random(54)
    for (const a of positions(r).filter((p) => p < size)) {
      const b = a + 1 + r.below(size - a)
      const bytes = withEvents((events) => {
        const first = events[a - 1]!
        events[a - 1] = events[b - 1]!
        events[b - 1] = first
      })
      expect((await held(bytes, `${a} and ${b}`)).message).toBe(`the log does not hold at position ${a}`)
    }
  })

  it("where the file was cut off", async () => {
    const r = random(55)
    for (let i = 0; i < 60; i++) {
      const length = 3000 + r.below(archive.length - 3000)
      const { code, reason } = await held(archive.subarray(0, length), `cut to ${length}`)
      expect([length, code, reason]).toEqual([length, "ARCHIVE_DAMAGED", expect.stringMatching(/end|cut short/)])
    }
  })

  it("a tail below a checkpoint that was kept, although the archive itself is whole", async () => {
    const kept = { note: published.note, file: "kept.note" }
    const { code, message, reason } = await held(readFileSync(join(folder, "older.tar")), "older", { kept })
    expect([code, message]).toEqual(["ARCHIVE_DAMAGED", "the log does not hold at position 301"])
    expect(reason).toContain("kept.note is a checkpoint of 600 events, and the archive has 300")
  })

  it("another history of the same site, signed by the same key", async () => {
    const log = memoryTlog(size)
    log.events[9] = event(10, "other")
    const dir = join(folder, "fork")
    const fork = await publisherOf(dir, log).publish()
    await exportArchive({ log, published: fork, path: join(folder, "fork.tar"), force: false })
    const bytes = readFileSync(join(folder, "fork.tar"))
    expect(await verify(bytes)).toMatchObject({ size })
    for (const kept of [older, published]) {
      const { code, reason } = await held(bytes, "fork", { kept: { note: kept.note, file: "kept.note" } })
      expect([code, reason]).toEqual(["ARCHIVE_DAMAGED", expect.stringContaining("are not those of the checkpoint")])
    }
  })

  it("a log of another key, and a key line that is none", async () => {
    const other = verifierKey({ name: noteKey.name, publicKey: new Uint8Array(32) })
    expect((await held(archive, "other key", { key: other })).code).toBe("ARCHIVE_DAMAGED")
    for (const key of ["", "lab.example", `${verifierKey(noteKey)}x`, verifierKey(noteKey).replace("lab", "lob")])
      expect((await held(archive, key, { key })).code).toBe("USAGE")
  })

  it("a file of the tree that is missing, given twice, or none of it", async () => {
    const files = members(archive)
    for (const [i, file] of files.entries()) {
      const { code } = await held(packed(files.filter((_, j) => j !== i)), `without ${file.name}`)
      expect([file.name, code]).toEqual([file.name, i < 2 ? "ARCHIVE_REFUSED" : "ARCHIVE_DAMAGED"])
      expect((await held(packed([...files, file]), `${file.name} twice`)).reason).toContain("twice")
    }
    const stranger = { name: "tlog/tile/0/007", bytes: Buffer.alloc(8192) }
    expect((await held(packed([...files, stranger]), "a tile too many")).code).toBe("ARCHIVE_DAMAGED")
    expect((await held(packed([...files, { name: "note", bytes: Buffer.of(1) }]), "a note")).reason).toContain("note")
    expect((await held(Buffer.concat([archive, Buffer.alloc(512)]), "more zeros")).reason).toContain("behind its end")
  })

  it("an event too many, and bytes behind the last one", async () => {
    const files = members(archive)
    for (const more of [encodeBundle([event(size + 1)]), Uint8Array.of(0), Uint8Array.of(9, 9, 9)]) {
      const bytes = packed(
        files.map(({ name, bytes }) => ({
          name,
          bytes: name.startsWith("tlog/tile/entries/002") ? Buffer.concat([bytes, more]) : bytes,
        })),
      )
      expect(await held(bytes, "more")).toMatchObject({ message: "the log does not hold at position 513" })
    }
  })

  it("what is no archive at all", async () => {
    for (const bytes of [Buffer.alloc(0), Buffer.alloc(1024), Buffer.from("hello"), packed([])])
      expect((await held(bytes, `${bytes.length} bytes`)).code).toBe("ARCHIVE_REFUSED")
    await expect(verifyArchive({ file: join(folder, "nothing.tar") })).rejects.toMatchObject({
      code: "FILE_UNREADABLE",
    })
    await expect(verifyArchive({ file: folder })).rejects.toMatchObject({ code: "FILE_UNREADABLE" })
  })
})
