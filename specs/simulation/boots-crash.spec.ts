/**
 * Boots, stale logins, resets, new links, commits, kept and discarded disks, and a server that dies at any point of any of it, by seed.
 *
 * **Details** A model says what every login must find. While a new boot is begun the server may be killed or lose power; then the boot before is
 * current with its own disk, or the new one with a fresh disk, and both logins afterwards must tell the same story. `IMAGELINK_SEEDS` is how
 * many seeds are tried. The canary begins boots in the wrong order and must be caught.
 */
import { expect, it } from "vitest"
import type { BlockDevice } from "../../core/block/device.ts"
import { FUA } from "../../core/block/device.ts"
import { HeatTap } from "../../core/block/heat/tap.ts"
import type { Lease } from "../../core/block/lease.ts"
import { MapBudget } from "../../core/block/overlay/budget.ts"
import type { Catalogue } from "../../core/domain/catalogue.ts"
import { event } from "../../core/domain/decision.ts"
import type { DomainEvent } from "../../core/domain/events.ts"
import { evolve } from "../../core/domain/evolve.ts"
import { linkState, linkVersion } from "../../core/domain/lookup.ts"
import { fail } from "../../core/errors.ts"
import { makeBootIds } from "../../core/runtime/boot-ids.ts"
import { type BootRecord, noBoots } from "../../core/runtime/boot-record.ts"
import { type BootRecords, makeBootRecords, makeBoots } from "../../core/runtime/boots.ts"
import { type DiskService, makeDisks } from "../../core/runtime/disks.ts"
import type { Drafts } from "../../core/runtime/drafts.ts"
import type { HeatService } from "../../core/runtime/heat.ts"
import type { ImageStacks } from "../../core/runtime/image-stacks.ts"
import { makeOverlayFolders } from "../../core/runtime/overlay-folders.ts"
import { makeTwins } from "../../core/runtime/twins.ts"
import type { VolumeFolder } from "../../core/storage/volume.ts"
import { catalogueOf, clientId, clientRef, imageAdded, linked, pc, registered, to } from "../support/domain.ts"
import { FaultTree } from "../support/fault-tree.ts"
import { FaultHost, settled } from "../support/fault-volume.ts"
import { MemoryDevice } from "../support/memory-disks.ts"
import { random } from "../support/random.ts"
import { committed, rolledBack, superCleared, superSet } from "../support/versions.ts"
import { watchNobody } from "../support/watch.ts"

const seeds = Number(process.env.IMAGELINK_SEEDS ?? 25)
const STEPS = 60
const SIZE = 64 * 1024
const GRAIN = 4096
const SLOTS = [0, 1] as const

/** A version reads as one byte all over. */
const base = (byte: number): BlockDevice => {
  const device = new MemoryDevice({ sizeBytes: SIZE })
  device.bytes.fill(byte)
  return device
}

/** A disk as its boots know it. */
interface ModelDisk {
  /** What its first grain may hold: one thing, or two after a write that the crash cut. */
  holds: ReadonlyArray<number>
  /** Of another run of the host than the present one; then a disk that ends with its boot is lost. */
  hostBoot: number
}

interface ModelSlot {
  policy: "discard" | "keep" | "super"
  /** What the current boot has here; `ended` once that was reset. */
  mine: ModelDisk | "ended" | undefined
  /** What the next boot finds, if it is kept or a super client's; undefined: a fresh disk. */
  kept: ModelDisk | undefined
}

type Mistake = (records: BootRecords) => BootRecords

class Walk {
  readonly r
  readonly host: FaultHost
  readonly tree: FaultTree
  readonly catalogue: Catalogue
  readonly ids = makeBootIds(Buffer.alloc(32, 1))
  readonly mistake: Mistake
  readonly said: (what: string) => string
  now = Date.UTC(2026, 0, 1)
  made = 0
  value = 10
  disks!: DiskService
  issue!: () => Promise<string>
  /** What each version reads as: 1 and 2, and then what was committed. What clients write counts from 10. */
  readonly versions = new Map([
    [1, 1],
    [2, 2],
  ])
  commits = 0
  /** Boot ids in the order they were made. */
  readonly boots: Array<string> = []
  /** Index of the current one. */
  current = -1
  readonly slots: ReadonlyArray<ModelSlot>
  /** A session that goes on, and whose boot it is. */
  running: { readonly lease: Lease; readonly id: number } | undefined
  /** How often the next replacement of a record fails, before it is made or after. */
  failures = 0
  crashes = 0
  begun = 0

  constructor(seed: number, mistake: Mistake = (records) => records) {
    this.r = random(seed)
    this.said = (what) => `${what}; seed ${seed}`
    this.mistake = mistake
    this.host = new FaultHost(this.r)
    this.tree = new FaultTree(this.host, { missChance: this.r.pick([0, 0.3]) })
    const overlays = SLOTS.map(() => this.r.pick(["discard", "keep"] as const))
    this.slots = overlays.map((policy) => ({ policy, mine: undefined, kept: undefined }))
    this.catalogue = catalogueOf([
      imageAdded(1),
      registered(9),
      linked(9, 0, to(1)),
      superSet(9, 1),
      committed(9, 1, 2, 4),
      registered(1),
      ...SLOTS.map((slot) => linked(1, slot, { ...to(1, undefined, null), version: 2, overlay: overlays[slot]! })),
    ])
    this.startServer()
  }

  /** Another process over what the one before left. */
  startServer(): void {
    const { host, catalogue, r } = this
    const root: VolumeFolder = this.tree.open()
    const folders = makeOverlayFolders(root, { bootId: () => `host ${host.boot}` }, new MapBudget())
    const stacks: ImageStacks = {
      open: async ({ version }) => ({ device: base(this.versions.get(version.number)!), release: async () => {} }),
    } as Partial<ImageStacks> as ImageStacks
    const records = this.mistake(makeBootRecords(this.failing(root)))
    this.running = undefined
    const boots = makeBoots({
      ids: this.ids,
      records,
      now: () => this.now,
      random: (n) => Buffer.alloc(n, ++this.made),
      onStale: () => {},
    })
    const drafts = {} as Drafts
    const heat = { tap: ({ device }) => new HeatTap(device), untap: () => {} } as Partial<HeatService> as HeatService
    const twins = makeTwins({ now: () => this.now, later: () => () => {}, onTwin: () => {} })
    const watch = watchNobody
    const isRecorded = async () => true
    this.disks = makeDisks({
      catalogue: () => catalogue,
      stacks,
      folders,
      drafts,
      boots,
      heat,
      twins,
      isRecorded,
      watch,
    })
    const client = { id: clientId(1), name: pc(1) }
    this.issue = () => boots.issue(client)
    // The clock may be set back between two servers, or at any time.
    this.now += r.pick([1000, 60_000, -3_600_000])
  }

  /** The folders, where replacing a record may fail. */
  failing(root: VolumeFolder): VolumeFolder {
    const replaceFile = async (client: VolumeFolder, name: string, bytes: Uint8Array) => {
      const fails = this.failures > 0 && this.failures-- > 0
      if (fails && this.r.chance(0.5)) throw fail("NO_SPACE", {})
      await client.replaceFile(name, bytes)
      if (fails) throw fail("IO_ERROR", { what: "boot", why: "it was not synced" })
    }
    const folder = (id: string): VolumeFolder => {
      const client = root.folder(id)
      const readFile = (name: string) => client.readFile(name)
      return {
        path: client.path,
        readFile,
        replaceFile: replaceFile.bind(null, client),
      } as Partial<VolumeFolder> as VolumeFolder
    }
    return { folder } as Partial<VolumeFolder> as VolumeFolder
  }

  append(data: DomainEvent): void {
    evolve(this.catalogue, { ...data, position: this.catalogue.position + 1 })
  }

  attach(id: number, slot: number): Promise<Lease> {
    const peer = { address: "127.0.0.1", loopback: true, protocol: "iscsi" } as const
    return this.disks.attach(pc(1), slot, this.boots[id], peer)
  }

  async go(): Promise<void> {
    for (let step = 0; step < STEPS; step++) {
      this.now += this.r.int(1000)
      const what = this.r.int(100)
      const slot = this.r.pick(SLOTS)
      if (what < 15) await this.fetch()
      else if (what < 60 && this.boots.length > 0) await this.login(this.anyId(), slot, this.r.chance(0.35))
      else if (what < 66) await this.change(slot)
      else if (what < 76) await this.superClient()
      else if (what < 85) this.restart(this.r.pick(["kill", "power"] as const))
    }
    // In the end, every boot id is told what it is.
    for (let id = 0; id < this.boots.length; id++) for (const slot of SLOTS) await this.login(id, slot, false)
  }

  /** The current one and those near it, more often than the rest. */
  anyId(): number {
    const near = this.current + this.r.pick([0, 0, 0, 1, 1, -1])
    return near >= 0 && near < this.boots.length && this.r.chance(0.8) ? near : this.r.int(this.boots.length)
  }

  async fetch(): Promise<void> {
    this.boots.push(await this.host.drive(this.issue()))
  }

  restart(how: "kill" | "power"): void {
    if (how === "kill") this.tree.kill()
    else this.tree.powerLoss()
    this.startServer()
  }

  /** A reset at once or for the next boot, another link, another current version. */
  async change(slot: number): Promise<void> {
    await this.leave()
    const link = this.catalogue.clients.get(clientId(1))!.links.get(slot)!
    const on = { client: clientRef(1), slot, link: linkState(this.catalogue, link) }
    const model = this.slots[slot]!
    switch (model.policy === "super" ? 3 : this.r.int(4)) {
      case 0:
        this.append(event("OverlayReset", on))
        if (model.mine !== undefined) model.mine = "ended"
        model.kept = undefined
        break
      case 1:
        this.append(event("OverlayResetArmed", on))
        model.kept = undefined
        break
      case 2: {
        const overlay = this.r.pick(["discard", "keep"] as const)
        if (overlay === link.overlay) return
        this.append(linked(1, slot, { ...on.link, overlay }, on.link))
        model.policy = overlay
        model.kept = undefined
        break
      }
      default: {
        const { current } = this.catalogue.images.get(link.imageId)!
        this.append(rolledBack(1, current, this.r.pick([...this.versions.keys()])))
        return
      }
    }
    await this.sweep(slot)
  }

  /** Slot 0 becomes the super client's, is sealed as the next version, or gives it up. */
  async superClient(): Promise<void> {
    await this.leave()
    const model = this.slots[0]!
    const link = this.catalogue.clients.get(clientId(1))!.links.get(0)!
    const image = this.catalogue.images.get(link.imageId)!
    const ended = model.kept
    if (model.policy === "keep") return
    if (model.policy === "discard") {
      this.append(superSet(1, 1, linkVersion(image, link)))
      model.policy = "super"
      return this.sweep(0)
    }
    if (ended !== undefined && this.r.chance(0.7)) {
      const version = image.versions.length + 1
      this.versions.set(version, ended.holds[0]!)
      const { current: from } = image
      this.append(committed(1, 1, version, link.epoch, { parent: link.superVersion!, from }))
      this.commits++
    } else this.append(superCleared(1, 1, link.epoch, false, link.superVersion!))
    model.policy = "discard"
    model.kept = undefined
    if (ended !== undefined && model.mine === ended) model.mine = "ended"
    return this.sweep(0)
  }

  async leave(): Promise<void> {
    if (this.running !== undefined) await this.host.drive(this.running.lease.release())
    this.running = undefined
  }

  async sweep(slot: number): Promise<void> {
    const sweeping = this.disks.sweep([{ clientId: clientId(1), slot }])
    if (this.r.chance(0.2)) {
      await this.some()
      this.restart("kill")
    } else await this.host.drive(sweeping)
  }

  /** Some of what waits is carried out. */
  async some(): Promise<void> {
    await settled()
    for (let steps = this.r.int(14); steps > 0 && this.host.waiting > 0; steps--) await this.host.step()
  }

  fresh(slot: number): ModelDisk {
    const link = this.catalogue.clients.get(clientId(1))!.links.get(slot)!
    const version = linkVersion(this.catalogue.images.get(link.imageId)!, link)
    return { holds: [this.versions.get(version)!], hostBoot: this.host.boot }
  }

  /** By the time it was made, for clocks are set back; two of one millisecond by their names. */
  isOlder(id: number): boolean {
    if (this.current < 0 || id === this.current) return false
    const [a, b] = [id, this.current].map((i) => this.ids.judge(this.boots[i]!, clientId(1)))
    if (!a?.ok || !b?.ok) throw new Error("a boot id of this site is not valid")
    return a.at < b.at || (a.at === b.at && a.boot < b.boot)
  }

  /** What a login must come to; a new boot changes the model. */
  expected(id: number, slot: number): ModelDisk | "OVERLAY_RETIRED" | "OVERLAY_LOST" {
    if (this.isOlder(id)) return "OVERLAY_RETIRED"
    const model = this.slots[slot]!
    if (id !== this.current) {
      this.current = id
      this.begun++
      for (const other of this.slots) other.mine = undefined
    }
    if (model.mine === "ended") return "OVERLAY_RETIRED"
    if (model.mine === undefined) {
      const disk = model.policy === "discard" ? this.fresh(slot) : (model.kept ?? this.fresh(slot))
      model.mine = disk
      if (model.policy !== "discard") model.kept = disk
    }
    return this.isLost(slot, model.mine) ? "OVERLAY_LOST" : model.mine
  }

  /** A disk that ends with its boot ends with its host, too. Which policy it was made for is what its entry says. */
  isLost(slot: number, disk: ModelDisk): boolean {
    return disk !== this.slots[slot]!.kept && this.endsWithHost.has(disk) && disk.hostBoot !== this.host.boot
  }
  readonly endsWithHost = new WeakSet<ModelDisk>()

  async login(id: number, slot: number, crash: boolean): Promise<void> {
    if (crash) return this.r.chance(0.3) ? this.loginAndFail(id, slot) : this.loginAndCrash(id, slot)
    const what = `boot ${id} at slot ${slot}, current is ${this.current}`
    const wasUnvisited = (id !== this.current && !this.isOlder(id)) || this.slots[slot]!.mine === undefined
    const expected = this.expected(id, slot)
    if (typeof expected !== "string" && wasUnvisited && this.slots[slot]!.policy === "discard")
      this.endsWithHost.add(expected)
    const found = await this.host.drive(this.visit(id, slot))
    if (typeof expected === "string") expect(found, this.said(what)).toBe(expected)
    else {
      expect(expected.holds, this.said(what)).toContain(found)
      expected.holds = [found as number]
      await this.host.drive(this.write(id, slot, expected))
      if (this.running === undefined && this.r.chance(0.3))
        this.running = { lease: await this.host.drive(this.attach(id, slot)), id }
    }
    if (this.running !== undefined && this.running.id !== this.current) {
      const { device } = this.running.lease
      expect(() => device.writeSync(Buffer.alloc(GRAIN), 0, 0, GRAIN, 0), this.said(what)).toThrow(/retired/)
      await this.leave()
    }
  }

  /** The first byte of the disk, or why not. */
  async visit(id: number, slot: number): Promise<number | string> {
    const lease = await this.attach(id, slot).catch((e) => e)
    if (lease instanceof Error) return (lease as { code?: string }).code ?? lease.message
    const bytes = Buffer.alloc(GRAIN)
    if (!lease.device.readSync(bytes, 0, 0, GRAIN)) await lease.device.read(bytes, 0, 0, GRAIN)
    await lease.release()
    return bytes.every((b) => b === bytes[0]) ? bytes[0]! : "torn"
  }

  async write(id: number, slot: number, disk: ModelDisk): Promise<void> {
    const value = (this.value = this.value >= 250 ? 10 : this.value + 1)
    const lease = await this.attach(id, slot)
    await lease.device.write(Buffer.alloc(GRAIN, value), 0, 0, GRAIN, FUA)
    disk.holds = [value]
    await lease.release()
  }

  /** The server dies while somebody logs in. Then either nothing happened, or all of it. */
  async loginAndCrash(id: number, slot: number): Promise<void> {
    this.crashes++
    void this.visit(id, slot)
    await this.some()
    const before = this.current
    const hostBoot = this.host.boot
    this.restart(this.r.pick(["kill", "power"] as const))
    this.cutBy = this.host.boot === hostBoot ? undefined : hostBoot
    await this.sort(id, slot, before)
  }

  /** The disk under the records fails while somebody logs in. */
  async loginAndFail(id: number, slot: number): Promise<void> {
    this.crashes++
    const before = this.current
    this.failures = 1 + this.r.int(3)
    await this.host.drive(this.visit(id, slot))
    this.failures = 0
    this.cutBy = undefined
    await this.sort(id, slot, before)
  }

  /** Finds out what became of a login that was cut off. */
  async sort(id: number, slot: number, before: number): Promise<void> {
    if (id === before || this.isOlder(id) || before < 0) return this.settle(id, slot)
    // Whoever was current still is, with its own disk, or it was retired by the one that was on its way.
    const asked = await this.host.drive(this.visit(before, slot))
    if (asked === "OVERLAY_RETIRED" && this.slots[slot]!.mine !== "ended") return this.settle(id, slot)
    if (asked === "OVERLAY_RETIRED") {
      // Both stories say so: the other slots, or the login itself, tell them apart.
      const other = 1 - slot
      const mine = this.slots[other]!.mine
      if (mine === "ended" || mine === undefined) return this.settle(id, slot)
      if ((await this.host.drive(this.visit(before, other))) === "OVERLAY_RETIRED") return this.settle(id, slot)
      return
    }
    await this.login(before, slot, false)
  }

  /**
   * Logs in again, as a client does whose server went away in the middle. A disk that ends with its host may have been promised before the power
   * went, though nobody was told.
   */
  async settle(id: number, slot: number): Promise<void> {
    const hostBoot = this.cutBy
    const isNew = id !== this.current && !this.isOlder(id)
    const { mine, policy } = this.slots[slot]!
    if (hostBoot !== undefined && policy === "discard" && (isNew || mine === undefined)) {
      if ((await this.host.drive(this.visit(id, slot))) === "OVERLAY_LOST") {
        const disk = this.expected(id, slot) as ModelDisk
        this.endsWithHost.add(disk)
        disk.hostBoot = hostBoot
        return
      }
    }
    return this.login(id, slot, false)
  }
  /** The run of the host that ended in the middle of a login. */
  cutBy: number | undefined
}

const walk = async (seed: number, mistake?: Mistake): Promise<Walk> => {
  const one = new Walk(seed, mistake)
  await one.go()
  return one
}

it(`every login gets the disk of its boot, over ${seeds} seeded walks through crashes`, async () => {
  let [crashes, begun, commits] = [0, 0, 0]
  for (let seed = 1; seed <= seeds; seed++) {
    const one = await walk(seed)
    crashes += one.crashes
    begun += one.begun
    commits += one.commits
  }
  expect(crashes).toBeGreaterThan(seeds)
  expect(begun).toBeGreaterThan(seeds)
  expect(commits).toBeGreaterThan(seeds / 10)
}, 600_000)

it("a disk that nobody promised the boot is made anew when it went with its host; one that was promised is lost", async () => {
  for (let seed = 1; seed <= 8; seed++) {
    const one = new Walk(seed)
    if (one.slots.some(({ policy }) => policy !== "discard")) continue
    const { host, tree, disks } = one
    await one.fetch()
    expect(await host.drive(one.visit(0, 0))).toBe(2)
    const plain = { address: "127.0.0.1", loopback: true, protocol: "nbd" } as const
    await host.drive(disks.attach(pc(1), 1, undefined, plain).then((lease) => lease.release()))
    tree.powerLoss()
    one.startServer()
    expect(await host.drive(one.visit(0, 0))).toBe("OVERLAY_LOST")
    expect(await host.drive(one.visit(0, 1))).toBe(2)
    return
  }
  expect.fail("no seed has two disks that end with their boot")
})

it("a record that is kept in memory alone is caught", async () => {
  const forgetful: Mistake = (records) => {
    const known = new Map<string, BootRecord>()
    const of: BootRecords["of"] = async (id) => known.get(id) ?? records.of(id)
    const change: BootRecords["change"] = async (id, change) => void known.set(id, change((await of(id)) ?? noBoots))
    return { ...records, of, change }
  }
  let caught = ""
  for (let seed = 1; seed <= 20 && caught === ""; seed++)
    await walk(seed, forgetful).catch((e: Error) => (caught = e.message))
  expect(caught).toContain("boot")
}, 600_000)
