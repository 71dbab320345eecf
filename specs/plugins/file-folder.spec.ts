import { closeSync, openSync } from "node:fs"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, it } from "vitest"
import { fileFolder } from "../../plugins/file/folder.ts"
import { WritableFile } from "../../plugins/file/writable.ts"

let temporary: string
let made = 0
const fresh = () => join(temporary, `folder-${made++}`)
const modeOf = async (path: string) => ((await fs.stat(path)).mode & 0o777).toString(8)

beforeAll(async () => {
  temporary = await fs.mkdtemp(join(tmpdir(), "imagelink-folder-"))
})
afterAll(() => fs.rm(temporary, { recursive: true, force: true }))

it("keeps what clients wrote from other users of the machine", async () => {
  const path = join(fresh(), "deep")
  const folder = fileFolder(path, {})
  await (await folder.open("data", { create: { sizeBytes: 4096 } })).close()
  await folder.replaceFile("header", new Uint8Array(1))
  expect(await modeOf(join(path, "data"))).toBe("600")
  expect(await modeOf(join(path, "header"))).toBe("600")
  expect(await modeOf(path)).toBe("700")
  expect(await modeOf(join(path, ".."))).toBe("700")
})

it("creates a sparse file that takes no space until it is written", async () => {
  const path = fresh()
  const volume = await fileFolder(path, {}).open("data", { create: { sizeBytes: 2 ** 40 } })
  expect((await fs.stat(join(path, "data"))).blocks).toBe(0)
  volume.writeSync(new Uint8Array(4096).fill(1), 0, 2 ** 39, 4096)
  expect((await fs.stat(join(path, "data"))).blocks).toBeLessThan(1024)
  await volume.close()
})

it("neither lists nor minds what a crash left of a replacement", async () => {
  const path = fresh()
  const folder = fileFolder(path, {})
  await folder.replaceFile("header", Uint8Array.of(1))
  await fs.writeFile(join(path, ".header.new"), "half a head")
  expect(await folder.list()).toEqual(["header"])
  expect(await folder.readFile("header")).toEqual(Buffer.of(1))
  await folder.replaceFile("header", Uint8Array.of(2))
  expect(await fs.readdir(path)).toEqual(["header"])
  expect(await folder.readFile("header")).toEqual(Buffer.of(2))
})

it("goes on replacing after a replacement that failed", async () => {
  const path = fresh()
  const folder = fileFolder(path, {})
  await fs.mkdir(join(path, "header"), { recursive: true })
  await expect(folder.replaceFile("header", Uint8Array.of(1))).rejects.toMatchObject({ code: "EISDIR" })
  await folder.remove("header")
  await folder.replaceFile("header", Uint8Array.of(2))
  expect(await folder.readFile("header")).toEqual(Buffer.of(2))
})

it("gives no volume for a folder, and none for what is missing", async () => {
  const path = fresh()
  const folder = fileFolder(path, {})
  await fs.mkdir(join(path, "data"), { recursive: true })
  await expect(folder.open("data")).rejects.toMatchObject({ code: "IO_ERROR", reason: "it is not a regular file" })
  await expect(folder.open("none")).rejects.toMatchObject({ code: "IMAGE_FILE_NOT_FOUND" })
})

it("punches through the host where it can, with the range it was given", async () => {
  const asked: Array<readonly [number, number]> = []
  const punchHole = async (_: number, offset: number, length: number) => asked.push([offset, length]) > 0
  const volume = await fileFolder(fresh(), { punchHole }).open("data", { create: { sizeBytes: 65_536 } })
  expect(await volume.punch(4096, 8192)).toBe(true)
  expect(asked).toEqual([[4096, 8192]])
  await volume.close()
})

it("never flushes successfully again once a flush has failed", async () => {
  const path = join(temporary, "flushed")
  await fs.writeFile(path, "x")
  const fd = openSync(path, "r+")
  const volume = new WritableFile(fd, path, 1, {})
  await volume.flush()
  closeSync(fd)
  await expect(volume.flush()).rejects.toMatchObject({ code: "EBADF" })
  // The lowest free descriptor is the next one, so the same number is a good file again, as after an error that the kernel forgot.
  const others = []
  while (others.at(-1) !== fd && others.length < 50) others.push(openSync(path, "r+"))
  expect(others.at(-1)).toBe(fd)
  await expect(volume.flush()).rejects.toMatchObject({ code: "EBADF" })
  others.forEach(closeSync)
})
