/** Which of a client, its groups, the site and nobody says what holds. */
import { expect, it } from "vitest"
import type { Catalogue, ClientEntry } from "../../core/domain/catalogue.ts"
import { clientSettings } from "../../core/runtime/client-settings.ts"

const client = { id: "id-1", options: { hook: "all", own: "yes" } } as unknown as ClientEntry
const catalogue = {
  groups: new Map([["g1", { name: "lab", options: { hook: "first", fallback: "local", "menu-timeout": "3" } }]]),
  groupsOfClient: new Map([["id-1", new Set(["g1"])]]),
} as unknown as Catalogue
const said = (site: Readonly<Record<string, string | undefined>> | undefined) =>
  Object.fromEntries(clientSettings(catalogue, client, site).map(({ key, value, source }) => [key, [value, source]]))

it("a client goes before its group, a group before the site, the site before what is usual", () => {
  expect(said({ "overlay-quota": "20 GiB", fallback: "none" })).toEqual({
    "boot-program": ["by firmware", "default"],
    fallback: ["local", "group:lab"],
    filename: ["the firmware's own", "default"],
    gateway: ["cleared within one subnet", "default"],
    hook: ["all", "own"],
    menu: ["none", "default"],
    "menu-timeout": ["3", "group:lab"],
    "overlay-quota": ["20 GiB", "site"],
    own: ["yes", "own"],
  })
})

it("a site that says nothing leaves the default, and one that cannot be asked is not spoken for", () => {
  expect(said({ "overlay-quota": undefined })["overlay-quota"]).toEqual(["none", "default"])
  expect(said(undefined)["overlay-quota"]).toBeUndefined()
})

it("they are in order of their keys", () => {
  const keys = clientSettings(catalogue, client, {}).map(({ key }) => key)
  expect(keys).toEqual(keys.toSorted())
})
