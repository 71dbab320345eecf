/** What a client may write over its image is bounded where the operator says so, and told before it is full. */
import { join } from "node:path"
import { expect, it } from "vitest"
import { imagelink, scratch, startServe } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"
import { openNbdDisk } from "../support/nbd-disk.ts"

const folder = scratch("quota-cli")
const data = join(folder, "data")
const image = rawImage(folder, "win11.raw", 128 * 1024, 1)
const grain = Buffer.alloc(4096, 1)

const ok = async (...args: ReadonlyArray<string>): Promise<void> => {
  const { status, stderr } = await imagelink(args, { data })
  expect(status, stderr).toBe(0)
}

it("serve --overlay-quota bounds everybody but who has an option of their own, and super clients", async () => {
  await ok("image", "add", "win11", image.path)
  for (const n of [1, 2, 3]) {
    await ok("client", "add", `52:54:00:00:00:0${n}`, "--name", `PC-${n}`)
    await ok("client", "link", `PC-${n}`, "win11")
  }
  await ok("client", "set", "PC-2", "--option", "overlay-quota=8K")
  await ok("client", "set-super", "PC-3", "win11")
  const server = await startServe(data, ["--overlay-quota", "40K"])
  const written = async (client: string): Promise<number> => {
    const disk = await openNbdDisk(server.listeners.nbd!, `client/${client}/0`)
    let grains = 0
    const error = await (async () => {
      for (; grains < 32; grains++) await disk.write(grains * 4096, grain)
    })().catch((e: Error) => e)
    if (error !== undefined) expect(error.message).toMatch(/ENOSPC/)
    await disk.write(0, Buffer.alloc(4096, 2))
    await disk.write(0, Buffer.alloc(4096, 2))
    expect(Buffer.from(await disk.read(grains * 4096 - 4096, 4096))).toEqual(grain)
    await disk.close()
    return grains
  }
  expect([await written("PC-1"), await written("PC-2"), await written("PC-3")]).toEqual([10, 2, 32])
  expect(await server.stop()).toBe(0)
  const warnings = server
    .stderr()
    .split("\n")
    .filter((line) => line.includes("that it may"))
  expect(warnings).toHaveLength(2)
  expect(warnings[0]).toContain("PC-1 slot 0 has written 32 KiB of the 40 KiB that it may")
}, 120_000)
