import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { describe, expect, it } from "vitest"
import { connectNbd } from "../../adapters/nbd/client.ts"
import { events, imagelink, json, refusal, type Served, scratch, startServe } from "../support/cli.ts"

const LOOKS_MAX = 2400
const MILLIS_MAX = 240_000
const until = async (what: string, holds: () => Promise<boolean>): Promise<void> => {
  for (let looks = 0; !(await holds()); looks++) {
    if (looks === LOOKS_MAX) throw new Error(`never: ${what}`)
    await sleep(50)
  }
}

/** Without what is only being written. */
const noted = (data: string) =>
  (existsSync(join(data, "jobs")) ? readdirSync(join(data, "jobs")) : []).filter((file) => file.endsWith(".json"))

/** A super client that is on, has written, and whose commit waits until it is off. */
const waitingCommit = async () => {
  const folder = scratch("resume")
  const data = join(folder, "data")
  writeFileSync(join(folder, "disk.raw"), Buffer.alloc(2 ** 20, 1))
  await json(["image", "add", "win11", join(folder, "disk.raw")], { data })
  await json(["client", "add", "52:54:00:00:00:01", "--name", "PC-001"], { data })
  await json(["client", "link", "PC-001", "win11"], { data })
  await json(["client", "set-super", "PC-001", "win11"], { data })
  const server = await startServe(data, ["--log-level", "info"])
  const disk = await connectNbd({ host: "127.0.0.1", port: server.nbdPort, export: "client/PC-001/0" })
  await disk.write(4096, Buffer.alloc(4096, 2))
  await disk.flush()
  const commit = imagelink(["image", "commit", "win11", "--when-off", "--note", "once", "--json"], { data })
  await until("the commit is noted", async () => noted(data).length === 1)
  return { data, server, disk, commit }
}

const versions = async (data: string) =>
  (await json<ReadonlyArray<{ versions: ReadonlyArray<unknown> }>>(["image", "list"], { data }))[0]!.versions.length

const commits = async (data: string) => (await events(data)).filter(({ type }) => type === "ImageCommitted")

describe("long work whose server ends in the middle", () => {
  const endings: ReadonlyArray<readonly [string, (server: Served) => Promise<unknown>]> = [
    ["is killed", (server) => server.kill("SIGKILL")],
    ["is stopped", (server) => server.stop()],
  ]
  it.each(endings)(
    "goes on at the next start when the server %s, once and as the same command",
    async (_, end) => {
      const { data, server, disk, commit } = await waitingCommit()
      const [file] = noted(data)
      await end(server)
      disk.destroy()
      expect((await commit).status).not.toBe(0)
      expect(noted(data)).toEqual([file])
      const again = await startServe(data, ["--log-level", "info"])
      await until("the commit has ended", async () => noted(data).length === 0)
      expect(await versions(data)).toBe(2)
      expect(again.stderr()).toContain("goes on with image.commit, which ")
      await again.stop()
      const made = await commits(data)
      expect(made.map((e) => [e.command, e.data.note])).toEqual([[file!.replace(".json", ""), "once"]])
      const third = await startServe(data, ["--log-level", "info"])
      await third.stop()
      expect(third.stderr()).not.toContain("goes on with")
      expect(await commits(data)).toEqual(made)
    },
    MILLIS_MAX,
  )

  it(
    "is not begun again when it was cancelled",
    async () => {
      const { data, server, disk, commit } = await waitingCommit()
      const [{ id }] = await json<[{ id: string }]>(["jobs"], { data })
      await json(["jobs", "--cancel", id], { data })
      expect(refusal(await commit).code).toBe("CANCELLED")
      expect(noted(data)).toEqual([])
      disk.destroy()
      await server.stop()
    },
    MILLIS_MAX,
  )

  it(
    "is noted neither for a dry run nor after a refusal",
    async () => {
      const { data, server, disk, commit } = await waitingCommit()
      const refused = await imagelink(["image", "flatten", "win11@1", "--json"], { data })
      expect(refusal(refused).code).toBe("FLATTEN_NOTHING")
      await imagelink(["image", "commit", "win11", "--dry-run"], { data })
      expect(noted(data)).toHaveLength(1)
      disk.destroy()
      expect((await commit).status).toBe(0)
      expect(noted(data)).toEqual([])
      await server.stop()
    },
    MILLIS_MAX,
  )

  it(
    "is told and left out when what was noted is damaged, of a newer version, or about something else",
    async () => {
      const data = join(scratch("resume"), "data")
      mkdirSync(join(data, "jobs"), { recursive: true })
      for (const [name, text] of [
        ["torn.json", '{"sha256":"'],
        ["empty.json", ""],
        ["other.json", '{"sha256":"00","entry":{"id":"other","operation":"image.remove"}}'],
      ] as const)
        writeFileSync(join(data, "jobs", name), text)
      writeFileSync(join(data, "jobs", "torn.json.tmp"), "half")
      const server = await startServe(data)
      await until("they are left out", async () => noted(data).length === 0)
      await server.stop()
      for (const name of ["torn", "empty", "other"])
        await expect.poll(() => server.stderr(), { timeout: 10_000 }).toContain(`jobs/${name}.json is damaged`)
    },
    MILLIS_MAX,
  )
})
