/**
 * What holds of the catalogue after every event, whatever was asked before it; and that the projections say the same as it does.
 *
 * **Details** Each check throws with `said` in its message: the seed and the command, by which a walk is repeated.
 */
import { expect } from "vitest"
import type { Catalogue } from "../../core/domain/catalogue.ts"
import { linkVersion } from "../../core/domain/lookup.ts"
import { isClientName, isImageName, nameKey, parseAddress, parseMac } from "../../core/domain/names.ts"
import { type ImageVersions, imageRows } from "../../core/projections/image-versions.ts"
import { type LinkTable, linkRows } from "../../core/projections/link-table.ts"

/** A MAC, a name and an address belong to one client, and each index knows exactly the clients that are there. */
const clients = (c: Catalogue, said: string) => {
  const all = [...c.clients.values()]
  const byKey = (pairs: ReadonlyArray<readonly [string, unknown]>) => new Map(pairs)
  expect(c.clients, said).toEqual(byKey(all.map((client) => [client.id, client])))
  expect(c.clientsByMac, said).toEqual(byKey(all.map((client) => [client.mac, client])))
  expect(c.clientsByName, said).toEqual(byKey(all.map((client) => [nameKey(client.name), client])))
  const addressed = all.flatMap((client) => (client.address === null ? [] : [[client.address, client] as const]))
  expect(c.clientsByAddress, said).toEqual(byKey(addressed))
  // Two clients with one key would make an index smaller than the list.
  expect([c.clientsByMac.size, c.clientsByName.size, c.clientsByAddress.size], said).toEqual([
    all.length,
    all.length,
    addressed.length,
  ])
  for (const client of all) {
    expect([parseMac(client.mac), isClientName(client.name)], said).toEqual([client.mac, true])
    if (client.address !== null) expect(parseAddress(client.address), said).toBe(client.address)
  }
}

/** Versions are a tree, numbered from 1 without a gap, each after its parent; the current one is among them and not retired. A draft has none. */
const images = (c: Catalogue, said: string) => {
  const all = [...c.images.values()]
  expect(c.imagesByName, said).toEqual(new Map(all.map((image) => [nameKey(image.name), image])))
  expect(c.imagesByName.size, said).toBe(all.length)
  for (const { name, versions, current, draft } of all) {
    expect(isImageName(name), said).toBe(true)
    expect([draft === null, current > 0], said).toEqual([versions.length > 0, versions.length > 0])
    if (draft === null)
      expect([versions[current - 1]?.number, versions[current - 1]?.retired], said).toEqual([current, false])
    for (const { over, retired } of versions)
      if (!retired && over !== null) expect(versions[over - 1]?.retired, said).toBe(false)
    for (const { number, parent, over, changes } of versions) {
      // what it is read over is among those that it was made on, and only what was flattened has tables beside
      const above: Array<number | null> = [parent]
      while (above.at(-1) !== null) above.push(versions[above.at(-1)! - 1]!.parent)
      expect([above.includes(over), over === parent || changes !== null], `@${number}; ${said}`).toEqual([true, true])
    }
    versions.forEach(({ number, parent }, i) => {
      expect([number, parent === null ? number === 1 : parent >= 1 && parent < number], said).toEqual([i + 1, true])
    })
  }
}

/** An image has at most one super client, and exactly that one's link says so; an overlay kept aside is some client's, over a version that is there. */
const superClients = (c: Catalogue, said: string) => {
  const marked = [...c.clients.values()].flatMap((client) =>
    [...client.links]
      .filter(([, l]) => l.superVersion !== null)
      .map(([slot, l]) => `${l.imageId} ${client.id} ${slot}`),
  )
  const known = [...c.images.values()].flatMap((image) =>
    image.superClient ? [`${image.id} ${image.superClient.clientId} ${image.superClient.slot}`] : [],
  )
  expect(marked.sort(), said).toEqual(known.sort())
  for (const image of c.images.values())
    for (const { clientId, version } of image.aside)
      expect([c.clients.has(clientId), image.versions[version - 1]?.retired], said).toEqual([true, false])
}

/** A link names a version that is there and not retired. */
const links = (c: Catalogue, said: string) => {
  for (const client of c.clients.values()) {
    for (const [slot, link] of client.links) {
      const image = c.images.get(link.imageId)
      expect(image?.versions[link.version - 1]?.number, said).toBe(link.version)
      const effective = image?.versions[linkVersion(image, link) - 1]
      expect(effective?.retired, said).toBe(false)
      if (link.pinned !== null) expect(link.pinned, said).toBe(link.version)
      // What a running boot may keep begins no later than what the next one gets; a resumed overlay is older than either.
      if (link.superVersion === null) expect(link.since, said).toBeLessThanOrEqual(link.epoch)
      if (link.armed !== undefined) expect([link.superVersion, link.armed < link.epoch], said).toEqual([null, true])
      expect(slot >= 0 && slot <= 15 && link.epoch >= 1 && link.epoch <= c.position, said).toBe(true)
    }
  }
}

/** Nothing refers to what was removed, and its id was given to nothing else. */
const removed = (c: Catalogue, said: string) => {
  for (const [key, { id, kind }] of c.removed) {
    expect(key, said).toBe(id)
    expect([c.clients.has(id), c.images.has(id)], `${kind} ${id}; ${said}`).toEqual([false, false])
    for (const index of [c.clientsByMac, c.clientsByName, c.clientsByAddress, c.imagesByName])
      expect(
        [...index.values()].some((entry) => entry.id === id),
        said,
      ).toBe(false)
    for (const client of c.clients.values())
      expect(
        [...client.links.values()].some((link) => link.imageId === id),
        said,
      ).toBe(false)
  }
}

export const checkInvariants = (catalogue: Catalogue, said: string): void => {
  clients(catalogue, said)
  images(catalogue, said)
  links(catalogue, said)
  superClients(catalogue, said)
  removed(catalogue, said)
}

/** The link table has the catalogue's links, each once and no other. */
export const checkLinkTable = (c: Catalogue, table: LinkTable, said: string): void => {
  const expected = [...c.clients.values()].flatMap(({ name: client, mac, address, links: slots }) =>
    Array.from(slots, ([slot, link]) => {
      const image = c.images.get(link.imageId)!
      const { pinned, overlay } = link
      const [version, follows] = [linkVersion(image, link), pinned === null]
      return {
        client,
        mac,
        address,
        slot,
        image: image.name,
        version,
        follows,
        overlay,
        superClient: link.superVersion !== null,
      }
    }),
  )
  const order = (row: { client: string; slot: number }) => `${row.client}/${row.slot}`
  const sorted = <R extends { client: string; slot: number }>(rows: ReadonlyArray<R>) =>
    [...rows].sort((a, b) => (order(a) < order(b) ? -1 : 1))
  expect(sorted(linkRows(table)), said).toEqual(sorted(expected))
}

/** The image list has the catalogue's images, read from the same places, checked alike, with as many links. */
export const checkImageVersions = (c: Catalogue, state: ImageVersions, said: string): void => {
  const all = [...c.clients.values()].flatMap((client) => [...client.links.values()])
  const rows = imageRows(state)
  expect(rows, said).toHaveLength(c.images.size)
  for (const row of rows) {
    const image = c.images.get(row.id)!
    const uses = all.filter((link) => link.imageId === row.id).length
    expect([row.name, row.current, row.links], said).toEqual([image.name, image.current, uses])
    const holder = image.superClient && c.clients.get(image.superClient.clientId)!
    expect(row.superClient, said).toEqual(holder && { id: holder.id, name: holder.name, slot: image.superClient!.slot })
    expect([row.draftBytes, row.tier], said).toEqual([image.draft?.sizeBytes ?? null, image.tier])
    expect(
      row.versions.map((v) => [v.number, v.parent, v.over, v.retired, v.storage, v.files, v.checked, v.mismatches]),
      said,
    ).toEqual(
      image.versions.map((v) => {
        return [
          v.number,
          v.parent,
          v.over,
          v.retired,
          v.storage,
          v.files,
          v.check?.result ?? "unverified",
          v.check?.mismatches ?? null,
        ]
      }),
    )
  }
}
