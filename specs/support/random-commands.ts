/** Random commands over a small world, valid and not, so that names, MACs and addresses collide all the time. */
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
  createGroup(6, ["PC-{001..002}"]),
  linkGroup("win11", { slot: 1 }),
]

/** The `fresh`th command of a walk, from 1; it also numbers the ids of new things, mostly. */
export const randomCommand = (r: Random, fresh: number): CommandBody => {
  const first = prelude[fresh - 1]
  if (first) return first
  const newId = () => clientId(r.chance(0.05) ? 1 : fresh * 100 + r.below(50))
  const image = () => r.pick(references)
  if (r.chance(0.3)) return randomGroupCommand(r, fresh, { clients: () => clients(r), image, slot: () => slot(r) })
  const someone = () => ({ clientId: newId(), mac: spell(r, mac(r.below(8))), ...maybe(r, "name", name(r)) })
  switch (r.below(13)) {
    case 0:
      return addImage(r.chance(0.1) ? 1 : fresh, r.pick(images), r.chance(0.2) ? { format: "qcow2" } : {})
    case 1: {
      const good = r.chance(0.5)
      const mismatches = good ? { count: 0, clusters: [] } : { count: 1, clusters: [r.below(3)] }
      const found = { result: good ? "verified" : "mismatch", checksums: checksums(r.below(2)), mismatches } as const
      return { type: "RecordCheck", imageId: imageId(r.below(3) + 1), version: r.below(3), ...found }
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
      return removeImage(r.pick(["win11", "debian", "games", "DEBIAN", "nothing"]))
    case 9:
      return removeClients(clients(r).slice(0, 1), maybe(r, "discardKept", r.chance(0.5)))
    default:
      return resetOverlays(clients(r), slot(r))
  }
}
