/** A status as a stream: whole, then what changed, and no more than that to whoever comes back. */
import { describe, expect, it } from "vitest"
import { limits } from "../../core/limits.ts"
import type { ClientStatus, Status } from "../../core/runtime/status.ts"
import { makeStatusFeed } from "../../core/runtime/status-feed.ts"

const client = (n: number, more: Partial<ClientStatus> = {}): ClientStatus =>
  ({ client: `PC-${n}`, mac: `mac-${n}`, state: "off", ...more }) as ClientStatus

const setup = () => {
  let clients: ReadonlyArray<ClientStatus> = [client(1), client(2)]
  let [position, memoryBytes, millis, asked] = [1, 100, 0, 0]
  const status = (): Status =>
    ({ server: { version: "1", since: 0, memoryBytes, position }, listeners: [], clients }) as unknown as Status
  const feed = makeStatusFeed({
    run: 77,
    monotonic: () => millis,
    ask: async () => {
      asked++
      return status()
    },
  })
  /** Another look, at what is there by then. */
  const since = (id: string | undefined) => {
    millis += limits.statusLookMillis
    return feed.since(id)
  }
  const names = async (id: string | undefined) => {
    const told = await since(id)
    return told && [told.id, told.name, told.event.clients.map((one) => one.client), told.event.gone]
  }
  return {
    ...{ feed, since, names, asked: () => asked },
    set: (next: ReadonlyArray<ClientStatus>) => {
      clients = next
    },
    move: (to: number) => {
      position = to
    },
    grow: () => {
      memoryBytes++
    },
  }
}

describe("a followed status", () => {
  it("is whole at first, and silent while nothing changes but memory", async () => {
    const { names, grow } = setup()
    expect(await names(undefined)).toEqual(["77-1", "status", ["PC-1", "PC-2"], []])
    grow()
    expect(await names("77-1")).toBeUndefined()
  })

  it("is then the rows that changed, and who is gone", async () => {
    const { names, set, move } = setup()
    await names(undefined)
    set([client(1, { state: "running" }), client(2)])
    expect(await names("77-1")).toEqual(["77-2", "changes", ["PC-1"], []])
    set([client(2), client(3)])
    expect(await names("77-2")).toEqual(["77-3", "changes", ["PC-3"], ["mac-1"]])
    move(2)
    expect(await names("77-3")).toEqual(["77-4", "changes", [], []])
  })

  it("tells one who was cut off each row once, as it is by now", async () => {
    const { names, set } = setup()
    await names(undefined)
    for (const state of ["dhcp", "login", "running"] as const) {
      set([client(1, { state }), client(2)])
      await names(undefined)
    }
    set([client(1, { state: "running" })])
    expect(await names("77-2")).toEqual(["77-5", "changes", ["PC-1"], ["mac-2"]])
    set([client(1, { state: "running" }), client(2)])
    expect(await names("77-2")).toEqual(["77-6", "changes", ["PC-1", "PC-2"], []])
  })

  it.each(["", "x", "78-1", "77-9", "77-1-1", "-1"])(
    "is whole again for an id that is not of this run: %j",
    async (id) => {
      const { names } = setup()
      expect((await names(id))?.[1]).toBe("status")
    },
  )

  it("is whole for one who was away for longer than it is remembered who went", async () => {
    const { names, set } = setup()
    await names(undefined)
    set(Array.from({ length: limits.statusGoneMax + 3 }, (_, n) => client(n)))
    await names(undefined)
    set([])
    expect((await names("77-2"))?.[1]).toBe("status")
    set([client(1)])
    await names(undefined)
    expect((await names("77-1"))?.[1]).toBe("status")
    expect((await names("77-3"))?.[1]).toBe("changes")
  })

  it("is looked at once for all who follow", async () => {
    const { feed, asked } = setup()
    await Promise.all([feed.since(undefined), feed.since(undefined), feed.since("77-1")])
    await feed.since(undefined)
    expect(asked()).toBe(1)
  })

  it("that cannot be had is an error for who asks, and asked for again", async () => {
    let broken = true
    const feed = makeStatusFeed({
      run: 1,
      monotonic: () => 0,
      ask: async () => {
        if (broken) throw new Error("no")
        return { server: {}, listeners: [], clients: [] } as unknown as Status
      },
    })
    await expect(feed.since(undefined)).rejects.toThrow("no")
    broken = false
    expect((await feed.since(undefined))?.name).toBe("status")
  })
})
