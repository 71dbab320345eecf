/** The verbs that move an image's clients from version to version. */
import { fail } from "../../../core/errors.ts"
import type { CommonOptions } from "../options.ts"
import { print } from "../output.ts"
import { callOptions, withSite } from "../site.ts"
import { printChanged } from "./changed.ts"
import { slotOf } from "./link-options.ts"

const versionNumber = (text: string, see: string): number => {
  const plain = text.replace(/^@/, "")
  if (/^[1-9]\d{0,8}$/.test(plain)) return Number(plain)
  throw fail("USAGE", { why: `${JSON.stringify(text)} is not a version number`, see })
}

export const rollback = (
  options: CommonOptions & { readonly to?: string; readonly note?: string },
  name: string,
): Promise<void> => {
  const input = {
    name,
    ...(options.to === undefined ? {} : { to: versionNumber(options.to, "imagelink image rollback --help") }),
    ...(options.note === undefined ? {} : { note: options.note }),
  }
  return withSite(options, false, async (site) => {
    const result = await site.call("image.rollback", input, callOptions(options))
    printChanged(options, result, () => {
      if (result.events.length > 0 && !result.dryRun)
        print("links that follow get it at their next boot; running and pinned clients stay where they are")
    })
  })
}

interface SuperOptions extends CommonOptions {
  readonly slot?: string
  readonly resume?: boolean
  readonly discardKept?: boolean
}

export const setSuper = (options: SuperOptions, client: string, image: string): Promise<void> => {
  const input = {
    client,
    image,
    ...(options.slot === undefined ? {} : { slot: slotOf(options.slot) }),
    ...(options.resume ? { resume: true } : {}),
    ...(options.discardKept ? { discardKept: true } : {}),
  }
  return withSite(options, false, async (site) => {
    const result = await site.call("client.set-super", input, callOptions(options))
    printChanged(options, result, () => {
      if (result.dryRun || result.events.length === 0) return
      print(`from its next boot on, what ${client} writes is kept`)
      print(`next: start ${client}, change what is to change, shut it down, then: imagelink image commit ${image}`)
    })
  })
}

export const clearSuper = (
  options: CommonOptions & { readonly image?: string; readonly keep?: boolean },
  client: string,
): Promise<void> => {
  const { image, keep } = options
  const input = { client, ...(image === undefined ? {} : { image }), ...(keep ? { keep: true } : {}) }
  return withSite(options, false, async (site) => {
    printChanged(options, await site.call("client.clear-super", input, callOptions(options)))
  })
}

const nextBootOf = (what: string) => {
  if (what === "none") return null
  if (what === "local" || what === "menu") return { kind: what } as const
  return { kind: "image", image: what } as const
}

/** `next-boot CLIENT... IMAGE|local|menu|none`: the last word is what they boot. */
export const nextBoot = (options: CommonOptions, words: ReadonlyArray<string>): Promise<void> => {
  const what = words.at(-1)
  const clients = words.slice(0, -1)
  if (what === undefined || clients.length === 0) {
    const why = "name one or more clients, and then what they boot once"
    throw fail("USAGE", { why, see: "imagelink client next-boot --help" })
  }
  return withSite(options, false, async (site) => {
    const input = { clients, to: nextBootOf(what) }
    printChanged(options, await site.call("client.next-boot", input, callOptions(options)))
  })
}
