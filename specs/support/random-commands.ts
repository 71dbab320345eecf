/** Random commands over a small world, valid and not, so that names, MACs and addresses collide all the time. */
import type { Catalogue } from "../../core/domain/catalogue.ts"
import type { CommandBody } from "../../core/domain/commands.ts"
import {
  addImage,
  change,
  checksums,
  clientId,
  copy,
  imageId,
  importRows,
  link,
  mac,
  register,
  relocate,
  removeClients,
  removeImage,
  resetOverlays,
  unlink,
} from "./domain.ts"
import { createGroup, linkGroup } from "./groups.ts"
import type { Random } from "./random.ts"
import { randomGroupCommand, randomOptions } from "./random-group-commands.ts"
import { boot, commit, createImage, flatten, sealImage } from "./versions.ts"

const images = ["win11", "debian", "games", "win11", "debian", "bad name"]
const references = ["win11", "WIN11@1", "debian", "debian", "games", "win11", "win11@2", "nothing"]
const spell = (r: Random, text: string) =>
  r.pick([
    text,
    text.toUpperCase(),
    text.replaceAll(":", "-"),
    text.replaceAll(":", ""),
    text,
    text,
    text,
    "01:00:5e:00:00:01",
  ])
const name = (r: Random) =>
  r.pick([
    ...["PC", "pc"].map((stem) => `${stem}-00${r.below(6)}`),
    `PC-00${r.below(3)}`,
    "teacher",
    r.pick(["a b", "525400000001"]),
  ])
const address = (r: Random) => r.pick([`10.0.0.${r.below(5)}`, "127.0.0.1"])
const maybe = <K extends string, V>(r: Random, key: K, value: V): { [P in K]?: V } =>
  r.chance(0.5) ? ({ [key]: value } as { [P in K]: V }) : {}
const slot = (r: Random) => r.pick([0, 0, 0, 0, 0, 0, 1, 15, 16])
const clients = (r: Random) =>
  Array.from({ length: r.below(3) }, () =>
    r.chance(0.1)
      ? r.pick(["group:lab", "GROUP:Room", "group:none"])
      : r.pick([name(r), name(r), spell(r, mac(r.below(8)))]),
  )

/** What every walk begins with, so that the rest finds something to do. */
const prelude = [
  addImage(1),
  addImage(2, "debian"),
  register(1),
  register(2),
  register(3, { address: "10.0.0.3" }),
  link(["PC-001", "PC-002", "PC-003"], "win11"),
  createGroup(6, ["PC-{001..002}"]),
  linkGroup("win11", { slot: 1 }),
]

/** What the runtime would ask after it sealed the super client's overlay; now and then it comes too late. */
const commitNow = (r: Random, catalogue: Catalogue): CommandBody => {
  const n = r.pick([1, 1, 1, 2, 3])
  const image = catalogue.images.get(imageId(n))
  const { clientId: holder, slot: at } = image?.superClient ?? { clientId: "", slot: 0 }
  const epoch = catalogue.clients.get(holder)?.links.get(at)?.epoch ?? 1
  const late = r.chance(0.1) ? 1 : 0
  return commit(n, (image?.versions.length ?? 1) + 1 + late, epoch)
}

/** What the runtime would ask after it merged a version's layers; now and then another was faster. */
const flattenNow = (r: Random, catalogue: Catalogue): CommandBody => {
  const n = r.pick([1, 1, 1, 2, 3])
  const versions = catalogue.images.get(imageId(n))?.versions ?? []
  const number = r.pick([versions.length, versions.length, 1 + r.below(4)])
  const entry = versions[number - 1]
  const from = { over: entry?.over ?? 1, storage: entry?.storage ?? { kind: "file", config: {} } }
  const late = r.chance(0.1) ? { ...from, over: from.over + 1 } : from
  return flatten(n, number, r.pick([1, 1, 2, null]), late)
}

const version = (r: Random, catalogue: Catalogue): CommandBody => {
  const image = r.pick(["win11", "win11", "win11", "debian", "games", "nothing"])
  switch (r.below(8)) {
    case 0:
    case 1:
      return commitNow(r, catalogue)
    case 2:
      return { type: "RollBackImage", name: image, ...maybe(r, "to", 1 + r.below(4)) }
    case 3:
    case 4:
      return { type: "RetireVersion", name: image, version: 1 + r.below(3) }
    case 5:
      return flattenNow(r, catalogue)
    case 6:
      return {
        type: "PlaceImage",
        name: image,
        tier: r.pick(["file", "ramdisk"]),
        ...maybe(r, "hot", r.chance(0.5)),
        ...maybe(r, "share", r.int(103)),
      }
    default:
      return r.chance(0.5)
        ? createImage(3, r.pick(["games", "games", "win11"]), r.pick(["1048576", "1048576", "1000", "0"]))
        : sealImage(r.pick([1, 3, 3, 9]))
  }
}

const superClient = (r: Random): CommandBody => {
  const client = r.pick(["PC-001", "PC-002", "PC-003", name(r)])
  const image = r.pick(["win11", "win11", "win11", "debian", "games", "nothing"])
  switch (r.below(4)) {
    case 0:
      return { type: "ClearSuperClient", client, ...maybe(r, "image", image), ...maybe(r, "keep", r.chance(0.7)) }
    case 1: {
      const to = r.pick([
        { kind: "image", image: r.pick(references) } as const,
        { kind: "local" } as const,
        { kind: "menu" } as const,
        null,
      ])
      return { type: "SetNextBoot", clients: clients(r), to }
    }
    default: {
      const more = { ...maybe(r, "resume", true), ...maybe(r, "discardKept", true) }
      return { type: "SetSuperClient", client, image, ...(r.chance(0.2) ? { slot: slot(r) } : {}), ...more }
    }
  }
}

/** The `fresh`th command of a walk, from 1; it also numbers the ids of new things, mostly. The catalogue is where the walk has come to. */
export const randomCommand = (r: Random, fresh: number, catalogue: Catalogue): CommandBody => {
  const first = prelude[fresh - 1]
  if (first) return first
  // Versions take several steps to come about, so every walk has a stretch that is mostly about them.
  if (fresh === 61) return link(["PC-001", "PC-002", "PC-003"], "win11", { discardKept: true })
  if (fresh > 60 && fresh <= 140 && r.chance(0.8)) return r.chance(0.6) ? version(r, catalogue) : superClient(r)
  const newId = () => clientId(r.chance(0.05) ? 1 : fresh * 100 + r.below(50))
  const image = () => r.pick(references)
  if (r.chance(0.3)) return randomGroupCommand(r, fresh, { clients: () => clients(r), image, slot: () => slot(r) })
  const someone = () => ({ clientId: newId(), mac: spell(r, mac(r.below(8))), ...maybe(r, "name", name(r)) })
  switch (r.below(24)) {
    case 0:
      return addImage(r.chance(0.1) ? 1 : fresh, r.pick(images), r.chance(0.2) ? { format: "qcow2" } : {})
    case 1: {
      const good = r.chance(0.5)
      const known = r.pick([imageId(r.below(3) + 1), ...catalogue.images.keys()])
      const of = { imageId: known, version: r.below(3) }
      const mismatches = good ? { count: 0, clusters: [] } : { count: 1, clusters: [r.below(3)] }
      const found = { result: good ? "verified" : "mismatch", checksums: checksums(r.below(2)), mismatches } as const
      return { type: "RecordCheck", ...of, ...found, ...(r.chance(0.2) && { again: true }) }
    }
    case 23: {
      const checked = [...catalogue.images.values()].filter(({ versions }) => versions[0]?.check)
      const known = r.pick([imageId(r.below(3) + 1), ...checked.map(({ id }) => id)])
      return { type: "RecordDamage", imageId: known, version: r.below(3), clusters: [r.below(6)] }
    }
    case 2:
      return register(0, { ...someone(), ...maybe(r, "address", address(r)) })
    case 3: {
      const row = () => ({ ...someone(), ...maybe(r, "address", address(r)), ...maybe(r, "image", r.pick(references)) })
      return importRows(Array.from({ length: r.below(4) }, row), r.chance(0.5) ? r.pick(references) : undefined)
    }
    case 4:
      return copy(r.pick([name(r), mac(r.below(8))]), Array.from({ length: r.below(3) }, someone))
    case 5:
    case 6: {
      const policy = {
        ...maybe(r, "overlay", r.pick(["keep", "discard"] as const)),
        ...maybe(r, "discardKept", r.chance(0.5)),
      }
      return link(clients(r), r.pick(references), { slot: slot(r), ...policy })
    }
    case 7:
      return unlink(clients(r), slot(r))
    case 8: {
      const to = {
        ...maybe(r, "name", name(r)),
        ...maybe(r, "mac", spell(r, mac(r.below(8)))),
        ...maybe(r, "address", r.chance(0.3) ? null : address(r)),
        ...randomOptions(r),
      }
      return change(r.pick([name(r), spell(r, mac(r.below(8)))]), to)
    }
    case 11:
      return relocate(r.below(3) + 1, r.pick(["win11", "elsewhere"]), r.chance(0.1) ? 2 : 1)
    case 10:
      return removeImage(r.pick(["win11", "debian", "games", "games", "DEBIAN", "nothing"]))
    case 9:
      return removeClients(clients(r).slice(0, 1), maybe(r, "discardKept", r.chance(0.5)))
    case 12:
      return resetOverlays(clients(r), slot(r), r.chance(0.3), r.chance(0.4))
    case 13:
      return { type: "RecordBoots", boots: Array.from({ length: r.below(3) }, () => boot(r.below(4) + 1)) }
    case 14:
    case 15:
    case 16:
      return superClient(r)
    default:
      return version(r, catalogue)
  }
}
