/** `image diff --files`: what Sleuth Kit reads of real file systems, in real partitions, before and after a commit. */
import { execFileSync } from "node:child_process"
import { copyFileSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type { FileDiffAnswer } from "../../core/runtime/site/image-diff.ts"
import { imagelink, scratch } from "../support/cli.ts"
import { requires } from "../support/requires.ts"
import { type ServingSite, serveHere, write } from "../support/serving.ts"

const MiB = 2 ** 20
const PATH = `${process.env.PATH}:/usr/sbin:/sbin`
const needs = [
  requires("fls", "sleuthkit"),
  requires("sfdisk", "fdisk"),
  requires("mke2fs", "e2fsprogs"),
  requires("debugfs", "e2fsprogs"),
  requires("mkfs.vfat", "dosfstools"),
  requires("mcopy", "mtools"),
]

const run = (tool: string, args: ReadonlyArray<string>, input?: string): void => {
  const env = { ...process.env, PATH, MTOOLS_SKIP_CHECK: "1", TZ: "UTC" }
  execFileSync(tool, args, { env, stdio: ["pipe", "ignore", "pipe"], ...(input === undefined ? {} : { input }) })
}

describe.skipIf(needs.some(({ skip }) => skip)).each([
  {
    ...{ label: "gpt", linux: 1, fat: 2, other: 3, fatAt: 9 * MiB, otherAt: 13 * MiB },
    script: "label: gpt\nstart=2048,size=16384\nstart=18432,size=8192\nstart=26624,size=2048\n",
  },
  {
    ...{ label: "dos", linux: 1, fat: 5, other: 6, fatAt: 10 * MiB, otherAt: 15 * MiB },
    script:
      "label: dos\nstart=2048,size=16384,type=83\nstart=18432,size=14336,type=5\nstart=20480,size=8192,type=c\nstart=30720,size=2048,type=83\n",
  },
])("an image with a $label table", ({ label, script, linux, fat, other, fatAt, otherAt }) => {
  const folder = scratch(`diff-files-${label}`)
  const at = (name: string) => join(folder, name)
  const data = at("data")
  let here: ServingSite

  /** The whole disk as it is after the change, written into the super client's disk where it differs. */
  const commit = async (before: string, after: string) => {
    const [was, is] = [readFileSync(before), readFileSync(after)]
    await here.do("client.set-super", { client: "PC-001", image: "win11" })
    const lease = await here.attach("PC-001")
    for (let offset = 0; offset < is.length; offset += 4096) {
      const block = is.subarray(offset, offset + 4096)
      if (!block.equals(was.subarray(offset, offset + 4096))) await write(lease, offset, block)
    }
    await lease.release()
    await here.do("image.commit", { name: "win11" })
  }
  /** Puts both file systems into their partitions. */
  const assemble = (disk: string) => {
    run("dd", [`if=${at("linux.img")}`, `of=${disk}`, "bs=1M", "seek=1", "conv=notrunc"])
    run("dd", [`if=${at("fat.img")}`, `of=${disk}`, "bs=1M", `seek=${fatAt / MiB}`, "conv=notrunc"])
  }
  const diff = async (from: number, to: number, filesMax = 100): Promise<FileDiffAnswer> => {
    const of = (version: number) => ({ name: "win11", version })
    const { files } = await here.do("image.diff", { from: of(from), to: of(to), filesMax })
    return files!
  }
  const told = ({ rows }: FileDiffAnswer) =>
    rows.map(({ partition, change, path, before, after }) => [partition, change, path, before, after])

  beforeAll(async () => {
    mkdirSync(at("root/etc"), { recursive: true })
    writeFileSync(at("root/etc/hosts"), "localhost")
    writeFileSync(at("root/gone"), "bye")
    writeFileSync(at("root/odd|\u009b name"), "1")
    writeFileSync(at("root/kept"), "kept")
    run("mke2fs", ["-q", "-t", "ext4", "-d", at("root"), at("linux.img"), "8M"])
    run("mkfs.vfat", ["-C", at("fat.img"), "4096"])
    writeFileSync(at("a.txt"), "abc")
    run("mcopy", ["-i", at("fat.img"), at("a.txt"), "::Boot.txt"])
    const disk = at("disk.raw")
    writeFileSync(disk, "")
    truncateSync(disk, 16 * MiB)
    run("sfdisk", ["-q", disk], script)
    assemble(disk)
    here = await serveHere(data)
    await here.do("image.add", { name: "win11", path: disk, check: true })
    await here.do("client.add", { mac: "52:54:00:00:00:01" })
    await here.do("client.link", { clients: ["PC-001"], image: "win11", slot: 0 })

    writeFileSync(at("new"), "x".repeat(5000))
    const commands = `write ${at("new")} new.bin\nrm gone\nrm "odd|\u009b name"\ncd etc\nrm hosts\nwrite ${at("new")} hosts\n`
    writeFileSync(at("commands"), commands)
    run("debugfs", ["-w", "-f", at("commands"), at("linux.img")])
    copyFileSync(disk, at("2.raw"))
    assemble(at("2.raw"))
    await commit(disk, at("2.raw"))

    run("mcopy", ["-i", at("fat.img"), "-o", at("new"), "::Boot.txt"])
    copyFileSync(at("2.raw"), at("3.raw"))
    assemble(at("3.raw"))
    const bytes = readFileSync(at("3.raw"))
    bytes.write("XFSB", otherAt)
    writeFileSync(at("3.raw"), bytes)
    await commit(at("2.raw"), at("3.raw"))
  })
  afterAll(() => here?.close())

  it("tells what was added, removed and changed, in the partition that was written to", async () => {
    const files = await diff(1, 2)
    expect(told(files)).toEqual([
      [linux, "changed", "/etc/hosts", 9, 5000],
      [linux, "removed", "/gone", 3, null],
      [linux, "added", "/new.bin", null, 5000],
      [linux, "removed", "/odd|\u009b name", 1, null],
    ])
    expect(files.partitions.map((p) => [p.number, p.offset, p.fileSystem.to, p.outcome])).toEqual([
      [linux, MiB, "ext", "compared"],
      [fat, fatAt, "fat12", "same"],
      [other, otherAt, "empty", "same"],
    ])
    expect(files.totals).toEqual({ added: 1, removed: 2, changed: 1 })
  })

  it("tells the reverse the other way round, and nothing of a version and itself", async () => {
    expect(told(await diff(2, 1))).toEqual([
      [linux, "changed", "/etc/hosts", 5000, 9],
      [linux, "added", "/gone", null, 3],
      [linux, "removed", "/new.bin", 5000, null],
      [linux, "added", "/odd|\u009b name", null, 1],
    ])
    const { rows, partitions } = await diff(2, 2)
    expect([rows, partitions.map(({ outcome }) => outcome)]).toEqual([[], ["same", "same", "same"]])
  })

  it("tells partitions apart, and names a file system that nobody reads", async () => {
    const files = await diff(2, 3)
    expect(told(files)).toEqual([[fat, "changed", "/Boot.txt", 3, 5000]])
    expect(files.partitions.at(-1)).toMatchObject({
      ...{ number: other, fileSystem: { from: "empty", to: "xfs" }, outcome: "unread" },
      why: "no tool that lists its files is known here",
    })
  })

  it("lists as many as are asked for, counts all, and leaves nothing behind", async () => {
    const { rows, totals } = await diff(1, 3, 1)
    expect([rows.length, totals]).toEqual([1, { added: 1, removed: 2, changed: 2 }])
    expect(readdirSync(join(data, "cache"))).toEqual([])
  })

  it("is printed as a table, names without a word to the terminal", async () => {
    await here.close()
    const { status, stdout } = await imagelink(["image", "diff", "win11@1", "win11@2", "--files"], { data })
    expect(status).toBe(0)
    expect(stdout).toMatch(new RegExp(`^ +${linux}  removed +1 B  - +/odd\\|\\\\u\\{9b\\} name$`, "m"))
    expect(stdout).not.toContain("\u009b")
  })
})
