import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { expect, it } from "vitest"
import { restoreSite } from "../../adapters/compose.ts"
import { readOrMakeBootSecret } from "../../core/log/boot-secret.ts"
import { storePaths } from "../../core/log/store-files.ts"
import { catalogueProjection } from "../../core/projections/catalogue.ts"
import { scratch } from "../support/cli.ts"
import { codeOf } from "../support/committing.ts"
import { rawImage } from "../support/images.ts"
import { loopback, operator, serveHere } from "../support/serving.ts"

let n = 0
const random = (bytes: number) => Buffer.alloc(bytes, ++n)

it("the boot secret is made once, for its owner alone, and is the same from then on", () => {
  const store = scratch("boot-secret")
  const paths = { ...storePaths(store), store }
  const made = readOrMakeBootSecret(paths, random)
  expect(Buffer.from(made)).toEqual(Buffer.alloc(32, n))
  expect(statSync(join(store, "boot.key")).mode & 0o777).toBe(0o600)
  expect(Buffer.from(readOrMakeBootSecret(paths, random))).toEqual(Buffer.from(made))
  expect(readdirSync(store)).toEqual(["boot.key"])
})

it("a boot secret that is cut short or too long is damage, and not made anew", () => {
  const store = scratch("boot-secret-damaged")
  const paths = { ...storePaths(store), store }
  for (const bytes of [0, 31, 33]) {
    writeFileSync(join(store, "boot.key"), Buffer.alloc(bytes))
    expect(() => readOrMakeBootSecret(paths, random)).toThrow(/boot\.key/)
    expect(statSync(join(store, "boot.key")).size).toBe(bytes)
  }
})

it("no backup has the boot secret, and a restored site refuses the boot ids of before", async () => {
  const folder = scratch("boot-secret-restored")
  const image = rawImage(folder, "win11.raw", 64 * 1024, 1)
  const data = join(folder, "data")
  const backup = join(folder, "backup")
  const here = await serveHere(data)
  await here.do("image.add", { name: "win11", path: image.path, check: false })
  await here.do("client.add", { mac: "52:54:00:00:00:01", name: "PC-1" })
  await here.do("client.link", { clients: ["PC-1"], image: "win11", slot: 0, overlay: "keep" })
  const client = (await here.parts.views.state(catalogueProjection)).clientsByName.get("pc-1")!
  const boot = await here.bootIds.issue(client)
  await (await here.disks.attach("PC-1", 0, boot, loopback)).release()
  await here.do("backup", { dir: backup, images: false, secrets: true })
  await here.close()
  const secret = readFileSync(join(data, "store/boot.key"))
  for (const file of readdirSync(backup, { recursive: true, withFileTypes: true }))
    if (file.isFile()) expect(readFileSync(join(file.parentPath, file.name)).includes(secret), file.name).toBe(false)

  const { signal } = new AbortController()
  const restored = join(folder, "restored")
  const options = { force: false, dryRun: false, actor: operator, signal, onProgress: () => {} }
  await restoreSite({ backup, data: restored, ...options })
  const again = await serveHere(restored)
  expect(await codeOf(again.disks.attach("PC-1", 0, boot, loopback))).toBe("BOOT_ID_INVALID")
  expect(await codeOf(again.disks.attach("PC-1", 0, await again.bootIds.issue(client), loopback))).toBe("accepted")
  await again.close()
})
