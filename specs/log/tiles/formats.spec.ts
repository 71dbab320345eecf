/** The formats of C2SP to the byte: paths, bundles, notes, checkpoints, proofs. */
import { describe, expect, it } from "vitest"
import { emptyRoot, leafHash } from "../../../core/log/merkle/hash.ts"
import { decodeBundle, encodeBundle } from "../../../core/log/tiles/bundle.ts"
import { openCheckpoint, signCheckpoint } from "../../../core/log/tiles/checkpoint.ts"
import { openNote, signNote, verifierKey } from "../../../core/log/tiles/note.ts"
import { entriesUpTo, rightmost, tilePath } from "../../../core/log/tiles/paths.ts"
import { encodeProof, openProof } from "../../../core/log/tiles/proof.ts"
import { key, noteKey } from "../support/tlog.ts"

describe("a tile's path", () => {
  it.each([
    [0, 0, 256, "tile/0/000"],
    [0, 999, 256, "tile/0/999"],
    [0, 1000, 256, "tile/0/x001/000"],
    [2, 1_234_067, 256, "tile/2/x001/x234/067"],
    [1, 273, 17, "tile/1/273.p/17"],
    ["entries", 1_234_067, 1, "tile/entries/x001/x234/067.p/1"],
  ] as const)("of level %s, index %i, width %i is %s", (level, index, width, path) => {
    expect(tilePath({ level, index, width })).toBe(path)
  })

  it("says how many entries the tile speaks of, and nothing for what is no tile", () => {
    expect(["000", "000.p/7", "x001/000", "x001/x234/067.p/3"].map(entriesUpTo)).toEqual([
      256,
      7,
      1001 * 256,
      1_234_067 * 256 + 3,
    ])
    expect(["", "000.p", "000.new", "x001", "0.p/1", "000.p/0", "000.p/01"].map(entriesUpTo)).toEqual(
      Array(7).fill(undefined),
    )
  })

  it("is of the tiles that the specification counts for 70,000 entries, and for 256", () => {
    expect([0, 1, 2].map((level) => rightmost(level, 70_000))).toEqual([
      { full: 273, width: 112 },
      { full: 1, width: 17 },
      { full: 0, width: 1 },
    ])
    expect([0, 1].map((level) => rightmost(level, 256))).toEqual([
      { full: 1, width: 0 },
      { full: 0, width: 1 },
    ])
  })
})

describe("an entry bundle", () => {
  it("is each entry behind its length", () => {
    const entries = [Buffer.from("ab"), Buffer.from(""), Buffer.from("c")]
    const bytes = encodeBundle(entries)
    expect(Buffer.from(bytes).toString("hex")).toBe("0002616200000001" + "63")
    expect(decodeBundle(bytes)?.map((e) => Buffer.from(e).toString())).toEqual(["ab", "", "c"])
  })

  it("holds an entry of 65,535 bytes, and none more", () => {
    expect(decodeBundle(encodeBundle([Buffer.alloc(65_535, 1)]))?.[0]?.length).toBe(65_535)
    expect(() => encodeBundle([Buffer.alloc(65_536)])).toThrow("fits its two bytes")
  })

  it("is none when it is cut anywhere but between entries", () => {
    const bytes = encodeBundle([Buffer.from("ab"), Buffer.from("c")])
    expect(Array.from(bytes.keys(), (n) => decodeBundle(bytes.subarray(0, n))?.length)).toEqual([
      0,
      undefined,
      undefined,
      undefined,
      1,
      undefined,
      undefined,
    ])
  })
})

// the example of Go's package golang.org/x/mod/sumdb/note
const neumann = {
  name: "PeterNeumann",
  publicKey: Buffer.from("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "base64").subarray(1),
}
const saying = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
const signature =
  "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"

describe("a signed note", () => {
  it("of Go's documentation opens with its key, whose line is the documented one", () => {
    expect(verifierKey(neumann)).toBe("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    expect(openNote(`${saying}\n${signature}`, neumann)).toEqual({ text: saying })
  })

  it("may carry signatures of others, before and after", () => {
    const other = "— else.example AAAAAGFiYw==\n"
    expect(openNote(`${saying}\n${other}${signature}${other}`, neumann)).toEqual({ text: saying })
    expect(openNote(`${saying}\n${other}`, neumann)).toHaveProperty("refused")
  })

  it("is refused when any byte of it is another", () => {
    const note = Buffer.from(signNote("a\nb\n", noteKey, key.privateKey))
    const passed: Array<number> = []
    for (let i = 0; i < note.length; i++) {
      const copy = Buffer.from(note)
      copy[i]! ^= 1
      if ("text" in openNote(copy.toString("utf8"), noteKey)) passed.push(i)
    }
    expect(passed).toEqual([])
  })

  it("is refused when its own key's signature is wrong, even beside a right one", () => {
    const other = signNote("other\n", neumann, key.privateKey).split("\n").at(-2)
    expect(openNote(`${saying}\n${signature}${other}\n`, neumann)).toEqual({
      refused: "the signature of PeterNeumann is not right",
    })
  })
})

describe("a checkpoint", () => {
  const note = signCheckpoint({ size: 0, root: emptyRoot }, noteKey, key.privateKey)

  it("is origin, size and root in a note", () => {
    expect(note.split("\n").slice(0, 4)).toEqual([
      "lab.example",
      "0",
      "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
      "",
    ])
    expect(openCheckpoint(note, noteKey)).toEqual({ size: 0, root: emptyRoot })
  })

  it("takes extension lines, and refuses another origin and sizes that are none", () => {
    const of = (text: string) => openCheckpoint(signNote(text, noteKey, key.privateKey), noteKey)
    const root = Buffer.from(emptyRoot).toString("base64")
    expect(of(`lab.example\n7\n${root}\nmore\n`)).toMatchObject({ size: 7 })
    for (const body of [
      `other.example\n7\n${root}\n`,
      `lab.example\n07\n${root}\n`,
      `lab.example\n-1\n${root}\n`,
      `lab.example\n99999999999999999999\n${root}\n`,
      `lab.example\n7\n${root.slice(4)}\n`,
      "lab.example\n7\n",
    ])
      expect(of(body), body).toHaveProperty("refused")
  })
})

describe("a proof", () => {
  const entry = Buffer.from("{}")
  const note = signCheckpoint({ size: 1, root: leafHash(entry) }, noteKey, key.privateKey)
  const text = encodeProof(entry, 0, [], note)

  it("of a log's only entry has no path", () => {
    expect(text.startsWith("c2sp.org/tlog-proof@v1\nextra e30=\nindex 0\n\nlab.example\n1\n")).toBe(true)
    expect(openProof(text, noteKey)).toEqual({ index: 0, entry, size: 1 })
  })

  it("is refused when any byte of it is another", () => {
    const bytes = Buffer.from(text)
    const passed: Array<number> = []
    for (let i = 0; i < bytes.length; i++) {
      const copy = Buffer.from(bytes)
      copy[i]! ^= 1
      if (!("refused" in openProof(copy.toString("utf8"), noteKey))) passed.push(i)
    }
    expect(passed).toEqual([])
  })
})
