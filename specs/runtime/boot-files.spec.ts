/** What is served of a folder: the regular files in it, and nothing beside it. */
import { execFileSync } from "node:child_process"
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { PieceCache } from "../../core/runtime/boot-file-cache.ts"
import { FileRefused, folderFiles, pathOf } from "../../core/runtime/boot-files.ts"
import { bootFolder } from "../../core/runtime/boot-folder.ts"
import { FileChanged } from "../../core/runtime/held-file.ts"

const folder = realpathSync(mkdtempSync(join(tmpdir(), "imagelink-boot-files-")))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const root = join(folder, "boot")
mkdirSync(join(root, "Boot"), { recursive: true })
mkdirSync(join(folder, "boot-beside"))
writeFileSync(join(root, "Boot", "BCD"), "bcd")
writeFileSync(join(root, "empty"), "")
writeFileSync(join(folder, "secret"), "secret")
writeFileSync(join(root, "TWIN"), "upper")
writeFileSync(join(root, "Twin"), "exact")
writeFileSync(join(folder, "boot-beside", "secret"), "secret")
symlinkSync("Boot/BCD", join(root, "inside"))
symlinkSync("../secret", join(root, "outside"))
symlinkSync("..", join(root, "up"))
symlinkSync("../boot-beside", join(root, "beside"))
symlinkSync("circle", join(root, "circle"))

const peer = { address: "127.0.0.1", port: 1 }
const tell = async (name: string): Promise<string> => {
  try {
    const file = await folderFiles(root).open(name, peer)
    if (file === undefined) return "not there"
    const bytes = await file.read(0, file.sizeBytes)
    await file.close()
    return `served ${Buffer.from(bytes)}`
  } catch (e) {
    if (e instanceof FileRefused) return "refused"
    throw e
  }
}

describe("a name", () => {
  it.each([
    ["a", "a"],
    ["a/b.efi", "a/b.efi"],
    ["\\Boot\\BCD", "Boot/BCD"],
    ["a//b/./c", "a/b/c"],
    ["..a/b..", "..a/b.."],
    ["", undefined],
    [".", undefined],
    ["/a", "a"],
    ["//a", "a"],
    ["/", undefined],
    ["/../a", undefined],
    ["\\\\host\\share\\a", undefined],
    ["C:\\a", undefined],
    ["c:a", undefined],
    ["..", undefined],
    ["a/..", undefined],
    ["a/../b", undefined],
    ["a\\..\\..\\b", undefined],
    ["a\0b", undefined],
  ])("%j is the path %j", (name, path) => {
    expect(pathOf(name)).toBe(path)
  })
})

describe("a folder", () => {
  it.each([
    ["Boot/BCD", "served bcd"],
    ["\\Boot\\BCD", "served bcd"],
    ["empty", "served "],
    ["inside", "served bcd"],
    ["up/boot/Boot/BCD", "served bcd"],
    ["Boot", "not there"],
    ["none", "not there"],
    ["empty/none", "not there"],
    ["n".repeat(300), "not there"],
    ["outside", "refused"],
    ["up/secret", "refused"],
    ["up", "refused"],
    ["beside/secret", "refused"],
    ["circle", "refused"],
    ["../secret", "refused"],
    [join(root, "empty"), "not there"],
    ["/inside", "served bcd"],
    ["boot/bcd", "served bcd"],
    ["\\BOOT\\bcd.0", "served bcd"],
    ["EMPTY", "served "],
    ["empty.0", "served "],
    ["empty.0.0", "not there"],
    ["boot/bcd/x", "not there"],
    ["twin", "served upper"],
    ["Twin", "served exact"],
    ["OUTSIDE", "refused"],
    ["UP/secret", "not there"],
    ["UP/SECRET", "not there"],
    ["CIRCLE", "refused"],
  ])("asked for %s: %s", async (name, told) => {
    expect(await tell(name)).toBe(told)
  })

  it("has no pipes, and does not wait for their writers", async () => {
    execFileSync("mkfifo", [join(root, "pipe")])
    expect(await tell("pipe")).toBe("not there")
  })

  it("notices that a file grew or shrank while it is open, and keeps to what was read of it before", async () => {
    const path = join(root, "changing")
    writeFileSync(path, "12345678ABCD")
    const small = new PieceCache({ pieceBytes: 4, bytesMax: 64 })
    const file = (await folderFiles(root, small).open("changing", peer))!
    expect(Buffer.from(await file.read(0, 4)).toString()).toBe("1234")
    appendFileSync(path, "9")
    await expect(file.read(8, 4)).rejects.toThrow(FileChanged)
    expect(Buffer.from(await file.read(0, 4)).toString()).toBe("1234")
    writeFileSync(path, "1")
    await expect(file.read(8, 4)).rejects.toThrow(FileChanged)
    await file.close()
    const anew = (await folderFiles(root, small).open("changing", peer))!
    expect(Buffer.from(await anew.read(0, 1)).toString()).toBe("1")
    await anew.close()
  })
})

describe("the folder that is served", () => {
  it("is the one that was named, else boot/ of the data folder", async () => {
    expect(await bootFolder(join(folder, "boot-beside"), folder)).toBe(join(folder, "boot-beside"))
    expect(await bootFolder(undefined, folder)).toBe(root)
  })
  it("is refused where it is none", async () => {
    await expect(bootFolder(join(folder, "secret"), folder)).rejects.toMatchObject({ code: "CONFIG_INVALID" })
    await expect(bootFolder(join(folder, "no"), folder)).rejects.toMatchObject({ code: "CONFIG_INVALID" })
  })
})

describe("a file that somebody is being sent", () => {
  const path = join(root, "held")
  const write = (text: string) => {
    writeFileSync(`${path}.new`, text)
    renameSync(`${path}.new`, path)
  }
  /** How often this process has it open, also where its name is gone. */
  const openings = () =>
    readdirSync("/proc/self/fd").filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).startsWith(path)
      } catch {
        return false
      }
    }).length
  const textOf = async (file: { readonly sizeBytes: number; read(at: number, length: number): Promise<Uint8Array> }) =>
    Buffer.from(await file.read(0, file.sizeBytes)).toString()

  it.skipIf(process.platform !== "linux")("is opened once, until nobody has it any more", async () => {
    write("first")
    const files = folderFiles(root)
    const one = await files.open("held", peer)
    const others = await Promise.all([files.open("held", peer), files.open("/held", peer)])
    expect([openings(), await textOf(one!), await textOf(others[1]!)]).toEqual([1, "first", "first"])
    await one!.close()
    await one!.close()
    await others[0]!.close()
    expect([openings(), await textOf(others[1]!)]).toEqual([1, "first"])
    await others[1]!.close()
    expect(openings()).toBe(0)
    const again = await files.open("held", peer)
    expect([openings(), await textOf(again!)]).toEqual([1, "first"])
    await again!.close()
  })

  it("is another one for who asks when it was replaced, and none where its name is gone or leads out", async () => {
    write("first")
    const files = folderFiles(root, new PieceCache({ pieceBytes: 4, bytesMax: 8 }))
    const old = await files.open("held", peer)
    write("second")
    const replaced = await files.open("held", peer)
    expect([await textOf(old!), await textOf(replaced!)]).toEqual(["first", "second"])
    rmSync(path)
    expect(await files.open("held", peer)).toBe(undefined)
    symlinkSync("../secret", path)
    await expect(files.open("held", peer)).rejects.toThrow(FileRefused)
    await replaced!.close()
    expect(await textOf(old!)).toBe("first")
    await old!.close()
    rmSync(path)
  })
})
