/** Random commands about groups, for the same small world as random-commands.ts. */
import type { CommandBody } from "../../core/domain/commands.ts"
import { limits } from "../../core/limits.ts"
import { changeGroup, createGroup, groupId, linkGroup, removeGroup, unlinkGroup } from "./groups.ts"
import type { Random } from "./random.ts"

export interface Pickers {
  readonly clients: () => ReadonlyArray<string>
  readonly image: () => string
  readonly slot: () => number
}

const names = ["lab", "lab-2", "LAB", "room", "group:room", "no such", "525400000001"]
const maybe = <V>(r: Random, key: string, value: V) => (r.chance(0.5) ? { [key]: value } : {})

const options = (r: Random) => ({
  [r.pick(["menu", "console", "Menu"])]: r.pick(["a", "b", "b", null, "two\nlines"]),
  ...(r.chance(0.02) ? { console: "x".repeat(limits.optionValueCharsMax + 1) } : {}),
})

/** The options that a client is given of its own; they may be some that no option can be. */
export const randomOptions = (r: Random) => (r.chance(0.3) ? { options: options(r) } : {})

export const randomGroupCommand = (r: Random, fresh: number, { clients, image, slot }: Pickers): CommandBody => {
  const group = r.pick(names)
  const keeps = maybe(r, "discardKept", r.chance(0.6))
  switch (r.below(9)) {
    case 0:
    case 1: {
      const more = { name: group, ...(r.chance(0.3) ? { options: options(r) } : {}) }
      return { ...createGroup(fresh, clients(), more), groupId: groupId(r.chance(0.05) ? 1 : fresh) }
    }
    case 2:
    case 3:
      return changeGroup({ add: clients(), ...keeps }, group)
    case 4:
      return changeGroup({ ...maybe(r, "drop", clients()), ...maybe(r, "options", options(r)), ...keeps }, group)
    case 5:
      return changeGroup({ name: r.pick(names) }, group)
    case 6:
    case 7: {
      const policy = maybe(r, "overlay", r.pick(["keep", "discard"] as const))
      return linkGroup(image(), { slot: slot(), ...policy, ...keeps }, group)
    }
    default:
      return r.chance(0.6) ? unlinkGroup({ slot: slot(), ...keeps }, group) : removeGroup(keeps, group)
  }
}
