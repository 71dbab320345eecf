/** An image, clients that follow it, and what each of its versions must read as: for specs of commits. */
import { join } from "node:path"
import { setTimeout as pause } from "node:timers/promises"
import type { Lease } from "../../core/block/lease.ts"
import { catalogueProjection } from "../../core/projections/catalogue.ts"
import { rawImage } from "./images.ts"
import { loopback, readAll, type ServingSite, write, zero } from "./serving.ts"

export const SIZE = 3 * 65_536 + 512

let images = 0
let macs = 0

export interface Lab {
  readonly image: string
  readonly path: string
  readonly bytes: Buffer
  /** Clients by their number, from 1. */
  readonly client: (n: number) => string
}

/** A raw image of an odd size, and clients that follow it. */
export const makeLab = async (here: ServingSite, folder: string, clients: number, sizeBytes = SIZE): Promise<Lab> => {
  const image = `image-${++images}`
  const { path, bytes } = rawImage(folder, `${image}.raw`, sizeBytes, images)
  await here.do("image.add", { name: image, path, check: true })
  const client = (n: number) => `${image}-PC-${n}`
  for (let n = 1; n <= clients; n++) {
    const mac = `52:54:00:00:${(++macs >> 8).toString(16).padStart(2, "0")}:${(macs & 255).toString(16).padStart(2, "0")}`
    await here.do("client.add", { mac, name: client(n) })
    await here.do("client.link", { clients: [client(n)], image, slot: 0 })
  }
  return { image, path, bytes, client }
}

export const clientBytes = async (here: ServingSite, client: string): Promise<Buffer> => {
  const lease = await here.attach(client)
  try {
    return await readAll(lease)
  } finally {
    await lease.release()
  }
}

export const versionBytes = async (here: ServingSite, image: string, version?: number): Promise<Buffer> => {
  const lease = await here.disks.attachImage(image, version, loopback)
  try {
    return await readAll(lease)
  } finally {
    await lease.release()
  }
}

/** One change of each kind, at places that `n` decides; answers what the disk is then. */
export const edit = async (lease: Lease, before: Buffer, n = 1): Promise<Buffer> => {
  const after = Buffer.from(before)
  const put = async (offset: number, bytes: Buffer) => {
    await write(lease, offset, bytes)
    bytes.copy(after, offset)
  }
  await put(4096 * n, Buffer.alloc(8192, `edit ${n} `))
  await put(65_536 + 100 * n, Buffer.alloc(7, n))
  await zero(lease, 65_536 + 8192 * n, 4096)
  after.fill(0, 65_536 + 8192 * n, 65_536 + 8192 * n + 4096)
  await put(before.length - 512, Buffer.alloc(512, `end ${n} `))
  return after
}

/** The client becomes super client, writes, and leaves; answers what its disk is then. */
export const editAsSuper = async (here: ServingSite, lab: Lab, client: string, before: Buffer, n = 1) => {
  await here.do("client.set-super", { client, image: lab.image })
  const lease = await here.attach(client)
  const after = await edit(lease, before, n)
  await lease.release()
  return after
}

export const imageOf = async (here: ServingSite, name: string) => {
  const { images, imagesByName } = await here.parts.views.state(catalogueProjection)
  return images.get(imagesByName.get(name.toLowerCase())!.id)!
}

export const layersOf = async (here: ServingSite, data: string, name: string) =>
  join(data, "layers", (await imageOf(here, name)).id)

/** Settles once a condition holds. */
export const until = async (holds: () => Promise<boolean> | boolean): Promise<void> => {
  for (let tries = 0; !(await holds()); tries++) {
    if (tries > 3000) throw new Error("it did not come to that")
    await pause(10)
  }
}

/** Settles once the check that follows a commit is recorded. */
export const checked = (here: ServingSite, image: string, version: number) =>
  until(async () => (await imageOf(here, image)).versions[version - 1]?.check?.result === "verified")

export const codeOf = (asked: Promise<unknown>): Promise<string> =>
  asked.then(
    () => "accepted",
    (e) => e.code ?? String(e),
  )
