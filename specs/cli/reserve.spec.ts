import { join } from "node:path"
import { expect, it } from "vitest"
import { imagelink, refusal, scratch, startServe } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"
import { openNbdDisk } from "../support/nbd-disk.ts"

const folder = scratch("reserve-cli")
const data = join(folder, "data")
const image = rawImage(folder, "win11.raw", 64 * 1024, 1)
const grain = Buffer.alloc(4096, 1)

const ok = async (...args: ReadonlyArray<string>): Promise<void> => {
  const { status, stderr } = await imagelink(args, { data })
  expect(status, stderr).toBe(0)
}

it("serve --overlay-reserve leaves the rest of the disk to super clients, and says so once", async () => {
  await ok("image", "add", "win11", image.path)
  for (const n of [1, 2]) {
    await ok("client", "add", `52:54:00:00:00:0${n}`, "--name", `PC-${n}`)
    await ok("client", "link", `PC-${n}`, "win11")
  }
  await ok("client", "set-super", "PC-2", "win11")
  const server = await startServe(data, ["--overlay-reserve", "8000T"])
  const open = (client: string) => openNbdDisk(server.listeners.nbd!, `client/${client}/0`)
  const [ordinary, superClient] = [await open("PC-1"), await open("PC-2")]
  for (let i = 0; i < 3; i++) await expect(ordinary.write(i * 4096, grain)).rejects.toThrow(/ENOSPC/)
  await superClient.write(0, grain)
  expect(Buffer.from(await superClient.read(0, 4096))).toEqual(grain)
  expect(Buffer.from(await ordinary.read(0, 4096))).toEqual(image.bytes.subarray(0, 4096))
  await Promise.all([ordinary.close(), superClient.close()])
  expect(await server.stop()).toBe(0)
  expect(server.stderr().match(/kept for super clients/g)).toHaveLength(1)
}, 120_000)

it("serve refuses a reserve that is no size, by its name", async () => {
  const { status, ...run } = await imagelink(["serve", "--overlay-reserve", "much", "--json"], { data })
  expect([status === 0, refusal({ status, ...run }).code]).toEqual([false, "CONFIG_INVALID"])
  expect(refusal({ status, ...run }).cause).toContain("overlay-reserve")
}, 120_000)
