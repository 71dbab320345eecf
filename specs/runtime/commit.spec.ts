import { existsSync, readdirSync, statSync } from "node:fs"
import { join } from "node:path"
import { setImmediate as turn } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type { Lease } from "../../core/block/lease.ts"
import { catalogueProjection } from "../../core/projections/catalogue.ts"
import { scratch } from "../support/cli.ts"
import {
  checked,
  clientBytes,
  codeOf,
  edit,
  editAsSuper,
  imageOf,
  type Lab,
  layersOf,
  makeLab,
  versionBytes,
} from "../support/committing.ts"
import { operator, readAll, type ServingSite, serveHere, write } from "../support/serving.ts"

const folder = scratch("commit")
const data = join(folder, "data")
let here: ServingSite

beforeAll(async () => {
  here = await serveHere(data)
})
afterAll(() => here.close())

const lab = (clients = 2) => makeLab(here, folder, clients)
const commit = (image: string, more: { whenOff?: boolean; fence?: boolean; note?: string } = {}) =>
  here.do("image.commit", { name: image, ...more })
const committed = async ({ image, bytes, client }: Lab, n = 1, before = bytes) => {
  const lab = { image, bytes, client, path: "" }
  const after = await editAsSuper(here, lab, client(1), before, n)
  await commit(image)
  return after
}
const list = async (image: string) => {
  const path = await layersOf(here, data, image)
  return existsSync(path) ? readdirSync(path).sort() : []
}
const overlayFolders = (): ReadonlyArray<string> =>
  readdirSync(here.overlays, { recursive: true, encoding: "utf8" }).filter((name) => /(^|\/)g\d+$/.test(name))
/** How many events there are, but for the checks that follow earlier commits. */
const recorded = async (): Promise<number> => {
  let count = 0
  const onItem = (line: string) => {
    if (JSON.parse(line).type !== "ImageChecked") count++
  }
  await here.site.call("log", {}, { actor: operator, onItem })
  return count
}
const commitsOf = async (name: string) => (await imageOf(here, name)).versions.length - 1

describe("a commit", () => {
  it("makes what the super client wrote the next version, with what it did not write from the one before", async () => {
    const { image, bytes, client } = await lab(3)
    await here.do("client.link", { clients: [client(3)], image: `${image}@1`, slot: 0 })
    const running = await here.attach(client(2))
    await here.do("client.set-super", { client: client(1), image })
    const writing = await here.attach(client(1))
    const after = await edit(writing, bytes)
    expect(await readAll(writing)).toEqual(after)
    await writing.release()
    const { events } = await commit(image, { note: "first" })
    expect(events).toMatchObject([
      { type: "ImageCommitted", data: { version: 2, parent: 1, from: 1, note: "first", client: { name: client(1) } } },
    ])
    // grains 1 and 2 of the write, the one of seven bytes, the last of 512 bytes; one of zeros
    expect(events[0]!.data).toMatchObject({ layer: { dataBytes: String(3 * 4096 + 512), zeroBytes: "4096" } })
    expect(await versionBytes(here, image, 2)).toEqual(after)
    expect(await versionBytes(here, image)).toEqual(after)
    expect(await versionBytes(here, image, 1)).toEqual(bytes)
    expect(await readAll(running)).toEqual(bytes)
    await running.release()
    // the running client's generation stays on version 1 until it begins anew; a pinned one stays for good
    expect(await clientBytes(here, client(2))).toEqual(bytes)
    await here.do("client.reset", { clients: [client(2), client(3)], slot: 0 })
    expect(await clientBytes(here, client(2))).toEqual(after)
    expect(await clientBytes(here, client(3))).toEqual(bytes)
    expect(await clientBytes(here, client(1))).toEqual(after)
    await checked(here, image, 2)
    expect((await here.do("image.check", { name: image, version: 2 })).result).toBe("verified")
  })

  it("takes nothing of what its client writes afterwards, because that is a disk of its own again", async () => {
    const l = await lab(2)
    const after = await committed(l)
    const lease = await here.attach(l.client(1))
    await write(lease, 0, Buffer.alloc(65_536, "later"))
    await lease.release()
    expect(await versionBytes(here, l.image, 2)).toEqual(after)
    expect(await codeOf(commit(l.image))).toBe("NO_SUPER_CLIENT")
    expect(await commitsOf(l.image)).toBe(1)
  })

  it("of a version made on another than the newest starts a branch, and a rollback gives either", async () => {
    const l = await lab(2)
    const two = await committed(l, 1)
    await here.do("image.rollback", { name: l.image })
    await here.do("client.reset", { clients: [l.client(1), l.client(2)], slot: 0 })
    expect(await clientBytes(here, l.client(2))).toEqual(l.bytes)
    const three = await committed(l, 3)
    expect((await imageOf(here, l.image)).versions.map((v) => v.parent)).toEqual([null, 1, 1])
    for (const [version, bytes] of [l.bytes, two, three].entries())
      expect(await versionBytes(here, l.image, version + 1)).toEqual(bytes)
    await here.do("image.rollback", { name: l.image, to: 2 })
    await here.do("client.reset", { clients: [l.client(2)], slot: 0 })
    expect(await clientBytes(here, l.client(2))).toEqual(two)
    expect(readdirSync(join(await layersOf(here, data, l.image), "parents"))).toHaveLength(1)
  })

  it("five times over gives six versions, each as it was, also for a server that starts later", async () => {
    const l = await lab(1)
    const all = [l.bytes]
    for (let n = 1; n <= 5; n++) all.push(await committed(l, n, all.at(-1)))
    for (const [i, bytes] of all.entries()) expect(await versionBytes(here, l.image, i + 1)).toEqual(bytes)
    for (let version = 2; version <= 6; version++) await checked(here, l.image, version)
    await here.close()
    here = await serveHere(data)
    for (const [i, bytes] of [...all.entries()].reverse())
      expect(await versionBytes(here, l.image, i + 1)).toEqual(bytes)
    expect(await clientBytes(here, l.client(1))).toEqual(all[5])
    expect(await list(l.image)).toEqual(
      [2, 3, 4, 5, 6]
        .flatMap((v) => [`v${v}.data`, `v${v}.qcow2`])
        .concat("parents")
        .sort(),
    )
  })

  it("frees the overlay's folder, and the version goes on without it", async () => {
    const l = await lab(1)
    const before = overlayFolders().length
    await committed(l)
    expect(overlayFolders().length).toBe(before)
    const layer = join(await layersOf(here, data, l.image), "v2.data")
    expect(statSync(layer).nlink).toBe(1)
  })

  it("as a dry run says what it would do, and leaves no file and no event", async () => {
    const l = await lab(1)
    const after = await editAsSuper(here, l, l.client(1), l.bytes)
    const before = await recorded()
    const dry = await here.site.call("image.commit", { name: l.image }, { actor: operator, dryRun: true })
    expect([dry.dryRun, dry.events.map((e) => e.type)]).toEqual([true, ["ImageCommitted"]])
    expect([await list(l.image), await recorded()]).toEqual([[], before])
    await commit(l.image)
    expect(await versionBytes(here, l.image, 2)).toEqual(after)
  })

  it("that is sent again under its id answers what it did, and seals nothing twice", async () => {
    const l = await lab(1)
    const after = await editAsSuper(here, l, l.client(1), l.bytes)
    const commandId = here.parts.newId()
    const send = (name = l.image) => here.site.call("image.commit", { name }, { actor: operator, commandId })
    const [first, second] = await Promise.all([send(), send()])
    expect([first, second].map((c) => c.repeated).sort()).toEqual([false, true])
    expect(second.events).toEqual(first.events)
    const path = join(await layersOf(here, data, l.image), "v2.qcow2")
    const { ino, mtimeNs } = statSync(path, { bigint: true })
    expect(await send()).toMatchObject({ repeated: true, events: first.events })
    expect(statSync(path, { bigint: true })).toMatchObject({ ino, mtimeNs })
    expect(await commitsOf(l.image)).toBe(1)
    expect(await versionBytes(here, l.image, 2)).toEqual(after)
    const other = await lab(1)
    await editAsSuper(here, other, other.client(1), other.bytes)
    expect(await codeOf(send(other.image))).toBe("COMMAND_REUSED")
    expect(await commitsOf(other.image)).toBe(0)
  })

  it("asked for by two at once is made once, whole, and the other one is refused", async () => {
    const l = await lab(1)
    const after = await editAsSuper(here, l, l.client(1), l.bytes)
    const answers = await Promise.all([codeOf(commit(l.image)), codeOf(commit(l.image, { fence: true }))])
    expect(answers.sort()).toEqual(["NO_SUPER_CLIENT", "accepted"])
    expect(await commitsOf(l.image)).toBe(1)
    expect(await versionBytes(here, l.image, 2)).toEqual(after)
    await checked(here, l.image, 2)
  })
})

describe("a commit is refused", () => {
  it("where there is no super client, or it wrote nothing, and nothing is left behind", async () => {
    const { image, client } = await lab(1)
    const before = await recorded()
    expect(await codeOf(commit(image))).toBe("NO_SUPER_CLIENT")
    expect(await codeOf(commit("no-such-image"))).toBe("IMAGE_NOT_FOUND")
    await here.do("client.set-super", { client: client(1), image })
    expect(await codeOf(commit(image))).toBe("NOTHING_TO_COMMIT")
    await (await here.attach(client(1))).release()
    expect(await codeOf(commit(image))).toBe("NOTHING_TO_COMMIT")
    expect([await list(image), await recorded()]).toEqual([[], before + 1])
  })

  it("while its client runs, also as a dry run, and takes nothing from it", async () => {
    const { image, bytes, client } = await lab(1)
    await here.do("client.set-super", { client: client(1), image })
    const lease = await here.attach(client(1))
    const half = await edit(lease, bytes, 1)
    for (const more of [{}, { whenOff: true }, { fence: true }]) {
      const dry = here.site.call("image.commit", { name: image, ...more }, { actor: operator, dryRun: true })
      expect(await codeOf(dry)).toBe("OVERLAY_IN_USE")
    }
    await expect(commit(image)).rejects.toMatchObject({
      code: "OVERLAY_IN_USE",
      message: expect.stringContaining(client(1)),
    })
    const whole = await edit(lease, half, 2)
    await lease.release()
    await commit(image)
    expect(await versionBytes(here, image, 2)).toEqual(whole)
  })

  it("never for who has just left: what it wrote last is closed first", async () => {
    for (let i = 0; i < 5; i++) {
      const { image, bytes, client } = await lab(1)
      await here.do("client.set-super", { client: client(1), image })
      const lease = await here.attach(client(1))
      const after = await edit(lease, bytes)
      const leaving = lease.release()
      await commit(image)
      await leaving
      expect(await versionBytes(here, image, 2)).toEqual(after)
      await checked(here, image, 2)
    }
  })
})

describe("a session that comes while a commit is made", () => {
  it("is refused to the commit, or waits for it and begins on the new version", async () => {
    const seen = new Set<string>()
    for (let i = 0; i < 12; i++) {
      const { image, bytes, client } = await lab(1)
      await here.do("client.set-super", { client: client(1), image })
      const lease = await here.attach(client(1))
      const after = await edit(lease, bytes)
      await lease.release()
      const committing = codeOf(commit(image))
      for (let turns = 0; turns < i; turns++) await turn()
      const early = await here.attach(client(1))
      expect(await readAll(early)).toEqual(after)
      const outcome = await committing
      seen.add(outcome)
      const rest = await edit(early, after, 2)
      await early.release()
      if (outcome === "OVERLAY_IN_USE") await commit(image)
      expect(await versionBytes(here, image, 2), outcome).toEqual(outcome === "accepted" ? after : rest)
    }
    expect([...seen].every((outcome) => ["accepted", "OVERLAY_IN_USE"].includes(outcome))).toBe(true)
  })
})

describe("a commit of a running client", () => {
  it("that is fenced has everything that was acknowledged, and ends the sessions", async () => {
    const { image, bytes, client } = await lab(1)
    await here.do("client.set-super", { client: client(1), image })
    const [a, b] = [await here.attach(client(1)), await here.attach(client(1))]
    let told = 0
    for (const lease of [a, b]) lease.onRevoked(() => told++)
    const after = await edit(a, bytes)
    await commit(image, { fence: true })
    expect(told).toBe(2)
    expect(await codeOf(write(a, 0, Buffer.alloc(512)))).toBe("OVERLAY_RETIRED")
    expect(await codeOf(readAll(b))).toBe("OVERLAY_RETIRED")
    await Promise.all([a.release(), b.release()])
    expect(await versionBytes(here, image, 2)).toEqual(after)
    expect(await clientBytes(here, client(1))).toEqual(after)
  })

  it("waits for the last of its sessions with --when-off, has what they wrote meanwhile, and may be called off", async () => {
    const { image, bytes, client } = await lab(1)
    await here.do("client.set-super", { client: client(1), image })
    const [a, b] = [await here.attach(client(1)), await here.attach(client(1))]
    let settled = false
    const waiting = commit(image, { whenOff: true }).finally(() => {
      settled = true
    })
    const abort = new AbortController()
    const options = { actor: operator, signal: abort.signal }
    const calledOff = codeOf(here.site.call("image.commit", { name: image, whenOff: true }, options))
    const half = await edit(a, bytes, 1)
    await a.release()
    abort.abort()
    expect(await calledOff).toBe("CANCELLED")
    const again = await here.attach(client(1))
    const whole = await edit(again, half, 2)
    await again.release()
    expect([settled, await commitsOf(image)]).toEqual([false, 0])
    await b.release()
    await waiting
    expect(await versionBytes(here, image, 2)).toEqual(whole)
  })

  it("that waits goes with the super client when another is named meanwhile", async () => {
    const l = await lab(3)
    await here.do("client.set-super", { client: l.client(1), image: l.image })
    const first = await here.attach(l.client(1))
    await write(first, 0, Buffer.alloc(4096, "thrown away"))
    const waiting = commit(l.image, { whenOff: true })
    for (let i = 0; i < 20; i++) await turn()
    await here.do("client.clear-super", { client: l.client(1) })
    await here.do("client.set-super", { client: l.client(2), image: l.image })
    const second = await here.attach(l.client(2))
    const half = await edit(second, l.bytes, 1)
    await first.release()
    for (let i = 0; i < 5; i++) await clientBytes(here, l.client(3))
    expect(await commitsOf(l.image)).toBe(0)
    const whole = await edit(second, half, 2)
    await second.release()
    await waiting
    expect(await versionBytes(here, l.image, 2)).toEqual(whole)
  })
})

describe("a slot that two changes hold", () => {
  it("lets a session in only after both", async () => {
    const { client } = await lab(2)
    await clientBytes(here, client(1))
    const { clientsByName } = await here.parts.views.state(catalogueProjection)
    const clientId = clientsByName.get(client(1).toLowerCase())!.id
    const slot = { clientId, slot: 0 }
    const [one, two] = [await here.disks.hold([slot]), await here.disks.hold([slot])]
    let lease: Lease | undefined
    const attaching = here.attach(client(1)).then((l) => {
      lease = l
    })
    two()
    for (let i = 0; i < 5; i++) await clientBytes(here, client(2))
    expect(lease).toBe(undefined)
    one()
    await attaching
    await lease!.release()
  })
})

describe("a super overlay", () => {
  it("that was kept aside survives a sweep and a restart, is resumed with what it has, and committed", async () => {
    const l = await lab(2)
    const half = await editAsSuper(here, l, l.client(1), l.bytes, 1)
    await here.do("client.clear-super", { client: l.client(1), keep: true })
    expect(await clientBytes(here, l.client(1))).toEqual(l.bytes)
    await here.disks.sweep()
    await here.close()
    here = await serveHere(data)
    await here.do("client.set-super", { client: l.client(1), image: l.image, resume: true })
    const lease = await here.attach(l.client(1))
    expect(await readAll(lease)).toEqual(half)
    const whole = await edit(lease, half, 2)
    await lease.release()
    await commit(l.image)
    expect(await versionBytes(here, l.image, 2)).toEqual(whole)
  })

  it("goes with its folder when it is cleared, and with its link's reset it does not", async () => {
    const l = await lab(1)
    const before = overlayFolders().length
    await editAsSuper(here, l, l.client(1), l.bytes)
    expect(overlayFolders().length).toBe(before + 1)
    expect(await codeOf(here.do("client.reset", { clients: [l.client(1)], slot: 0 }))).toBe("SUPER_CLIENT_ACTIVE")
    expect(overlayFolders().length).toBe(before + 1)
    await here.do("client.clear-super", { client: l.client(1) })
    expect(overlayFolders().length).toBe(before)
    expect(await clientBytes(here, l.client(1))).toEqual(l.bytes)
  })
})
