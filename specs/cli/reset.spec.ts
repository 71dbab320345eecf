import { join } from "node:path"
import { expect, it } from "vitest"
import { events, imagelink, refusal, scratch, startServe } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"
import { openNbdDisk } from "../support/nbd-disk.ts"

const folder = scratch("reset")
const data = join(folder, "data")
const image = rawImage(folder, "win11.raw", 64 * 1024, 1)
const written = Buffer.alloc(4096, "written")

const ok = async (...args: ReadonlyArray<string>): Promise<string> => {
  const { status, stdout, stderr } = await imagelink(args, { data })
  expect(status, stderr).toBe(0)
  return stdout
}

it("client reset --at-next-boot lets a client run on its kept disk, and gives its next session a fresh one", async () => {
  await ok("image", "add", "win11", image.path)
  await ok("client", "add", "52:54:00:00:00:01", "--name", "PC-001")
  await ok("client", "link", "PC-001", "win11", "--overlay", "keep")
  const server = await startServe(data)
  const open = () => openNbdDisk(server.listeners.nbd!, "client/PC-001/0")
  const running = await open()
  await running.write(0, written)
  const refused = await imagelink(["client", "reset", "PC-001", "--json"], { data })
  expect([refused.status, refusal(refused).code]).toEqual([1, "OVERLAY_IN_USE"])
  expect(refusal(refused).fix).toContain("client reset --at-next-boot")

  const would = await ok("client", "reset", "PC-001", "--at-next-boot", "--dry-run")
  expect(would).toContain("PC-001 overlay reset at its next boot: win11@1")
  expect(await ok("client", "reset", "PC-001", "--at-next-boot")).toContain("PC-001 overlay reset at its next boot")
  expect((await events(data)).at(-1)).toMatchObject({ type: "OverlayResetArmed", data: { slot: 0 } })
  expect(await ok("history", "--client", "PC-001")).toContain("overlay reset at its next boot")
  await running.write(4096, written)
  expect(Buffer.from(await running.read(0, 8192))).toEqual(Buffer.concat([written, written]))
  await running.close()

  // The server hears of the end a moment after the client has left.
  let found = Buffer.alloc(0)
  for (let tries = 0; tries < 500 && !found.equals(image.bytes.subarray(0, 8192)); tries++) {
    const next = await open()
    found = Buffer.from(await next.read(0, 8192))
    await next.close()
  }
  expect(found).toEqual(image.bytes.subarray(0, 8192))
  expect(await server.stop()).toBe(0)
}, 120_000)

it("client reset refuses to wait for the next boot of a super client", async () => {
  await ok("client", "link", "PC-001", "win11", "--overlay", "discard", "--discard-kept")
  await ok("client", "set-super", "PC-001", "win11")
  const active = await imagelink(["client", "reset", "PC-001", "--at-next-boot", "--json"], { data })
  expect([active.status, refusal(active).code]).toEqual([1, "SUPER_CLIENT_ACTIVE"])
  const both = await imagelink(["client", "reset", "PC-001", "--at-next-boot", "--discard-super", "--json"], { data })
  expect([both.status, refusal(both).code]).toEqual([2, "COMMAND_INVALID"])
}, 120_000)
