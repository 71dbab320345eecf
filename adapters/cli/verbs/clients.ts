/** `imagelink client …` */

import { fail } from "../../../core/errors.ts"
import type { ClientRow } from "../../../core/runtime/site/clients.ts"
import type { CommonOptions } from "../options.ts"
import { type Column, print, printJson, table } from "../output.ts"
import { callOptions, withSite } from "../site.ts"
import { type BootOption, optionChanges } from "./boot-options.ts"
import { printChanged } from "./changed.ts"
import { policyOf, slotOf } from "./link-options.ts"

export const add = (options: CommonOptions & { name?: string; ip?: string }, mac: string): Promise<void> =>
  withSite(options, true, async (site) => {
    const input = {
      mac,
      ...(options.name === undefined ? {} : { name: options.name }),
      ...(options.ip === undefined ? {} : { address: options.ip }),
    }
    printChanged(options, await site.call("client.add", input, callOptions(options)))
  })

export const importCsv = async (options: CommonOptions & { image?: string }, file: string): Promise<void> => {
  const { readClients } = await import("../csv.ts")
  const rows = readClients(file)
  await withSite(options, true, async (site) => {
    const input = { rows, file, ...(options.image === undefined ? {} : { image: options.image }) }
    printChanged(options, await site.call("client.import", input, callOptions(options)))
  })
}

export const copy = (options: CommonOptions, from: string, to: ReadonlyArray<string>): Promise<void> =>
  withSite(options, false, async (site) => {
    const targets = to.map((text) => {
      const [name, mac] = text.includes("=") ? text.split("=", 2) : [undefined, text]
      return { mac: mac ?? "", ...(name === undefined ? {} : { name }) }
    })
    printChanged(options, await site.call("client.copy", { from, to: targets }, callOptions(options)))
  })

const linkText = (l: ClientRow["links"][number]): string =>
  `${l.slot}: ${l.image}@${l.version}${l.follows ? "" : " pinned"}${l.overlay === "keep" ? " keep" : ""}`

const columns: ReadonlyArray<Column<ClientRow>> = [
  { title: "CLIENT", value: (r) => r.name },
  { title: "MAC", value: (r) => r.mac },
  { title: "ADDRESS", value: (r) => r.address ?? "-" },
  { title: "DISKS", value: (r) => (r.links.length === 0 ? "not linked" : r.links.map(linkText).join(", ")) },
]

export const list = (options: CommonOptions): Promise<void> =>
  withSite(options, false, async (site) => {
    const rows = await site.call("client.list", {}, callOptions(options))
    if (options.json) printJson(rows)
    else print(rows.length === 0 ? "no clients; add one: imagelink client add MAC --name NAME" : table(columns, rows))
  })

interface LinkOptions extends CommonOptions {
  readonly slot: string
  readonly overlay?: string
  readonly discardKept?: boolean
}

export const link = (options: LinkOptions, args: ReadonlyArray<string>): Promise<void> => {
  const image = args.at(-1) ?? ""
  if (args.length < 2)
    throw fail("USAGE", { why: "name one client at least, then the image", see: "imagelink client link --help" })
  const overlay = policyOf(options.overlay, "client link")
  return withSite(options, false, async (site) => {
    const input = {
      clients: args.slice(0, -1),
      image,
      slot: slotOf(options.slot),
      ...(overlay === undefined ? {} : { overlay }),
      ...(options.discardKept ? { discardKept: true } : {}),
    }
    printChanged(options, await site.call("client.link", input, callOptions(options)))
  })
}

interface UnlinkOptions extends CommonOptions {
  readonly slot: string
  readonly discardKept?: boolean
}

export const unlink = (options: UnlinkOptions, clients: ReadonlyArray<string>): Promise<void> =>
  withSite(options, false, async (site) => {
    const input = { clients, slot: slotOf(options.slot), ...(options.discardKept ? { discardKept: true } : {}) }
    printChanged(options, await site.call("client.unlink", input, callOptions(options)))
  })

export const reset = (
  options: CommonOptions & { slot: string; discardSuper?: boolean; atNextBoot?: boolean },
  clients: ReadonlyArray<string>,
): Promise<void> =>
  withSite(options, false, async (site) => {
    printChanged(
      options,
      await site.call(
        "client.reset",
        {
          clients,
          slot: slotOf(options.slot),
          ...(options.discardSuper ? { discardSuper: true } : {}),
          ...(options.atNextBoot ? { atNextBoot: true } : {}),
        },
        callOptions(options),
      ),
    )
  })

interface SetOptions extends CommonOptions {
  readonly name?: string
  readonly ip?: string
  readonly mac?: string
  readonly option?: ReadonlyArray<BootOption>
}

export const set = (options: SetOptions, client: string): Promise<void> => {
  const { name, ip, mac } = options
  const boot = optionChanges(options.option, "client set")
  if (name === undefined && ip === undefined && mac === undefined && boot.options === undefined)
    throw fail("USAGE", {
      why: "say what to change: --name, --ip, --mac or --option",
      see: "imagelink client set --help",
    })
  return withSite(options, false, async (site) => {
    const input = {
      client,
      ...(name === undefined ? {} : { name }),
      ...(mac === undefined ? {} : { mac }),
      ...(ip === undefined ? {} : { address: ip === "none" ? null : ip }),
      ...boot,
    }
    printChanged(options, await site.call("client.set", input, callOptions(options)))
  })
}

export const remove = (
  options: CommonOptions & { discardKept?: boolean },
  clients: ReadonlyArray<string>,
): Promise<void> =>
  withSite(options, false, async (site) => {
    const input = { clients, ...(options.discardKept ? { discardKept: true } : {}) }
    printChanged(options, await site.call("client.remove", input, callOptions(options)))
  })
