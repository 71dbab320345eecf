/** A PC that loses its power while an answer is on its way to it says nothing any more: its server notices, by either protocol, and gives its disk back. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { afterEach, expect, it } from "vitest"
import { makeNetwork, type Network, requiresNetwork, SERVER } from "../support/network.ts"

const { skip } = requiresNetwork("client-gone.spec.ts")
let network: Network
if (!skip) network = makeNetwork()

const children: Array<ChildProcess> = []
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL")
})

const started = (inside: ReadonlyArray<string>, name: string, ...args: ReadonlyArray<string>) => {
  const script = join(import.meta.dirname, "../support", name)
  const [file, ...rest] = [...inside, process.execPath, "--conditions=source", script, ...args]
  const child = spawn(file!, rest, { stdio: ["pipe", "pipe", "inherit"] })
  children.push(child)
  return child
}

it.skipIf(skip)(
  "a client that acknowledges nothing of its answer is taken for off, by NBD and iSCSI",
  async () => {
    const inside = network.client("02:77:00:00:00:05")
    const ip = (...args: ReadonlyArray<string>) => execFileSync(inside[0]!, [...inside.slice(1), "ip", ...args])
    ip("addr", "add", "10.77.0.5/24", "dev", "eth0")
    const server = started(network.inside, "gone-server.ts")
    const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]()
    const told = async (): Promise<Record<string, unknown>> => JSON.parse((await lines.next()).value as string)
    const { nbd, iscsi } = await told()
    started(inside, "gone-client.ts", SERVER, String(nbd), String(iscsi))
    const asked: Array<unknown> = []
    while (asked.length < 2) {
      const line = await told()
      if ("asked" in line) asked.push(line.asked)
    }
    expect(asked.sort()).toEqual([0, 4096])
    ip("link", "set", "eth0", "down")
    server.stdin.write("go\n")
    const reasons: Array<unknown> = []
    while (reasons.length < 2) {
      const line = await told()
      if (line.type === "closed") reasons.push(line.why)
    }
    expect(reasons.sort()).toEqual(["the client is off, or out of reach", "the initiator is off, or out of reach"])
    server.stdin.end()
    expect(await once(server, "close")).toEqual([0, null])
  },
  60_000,
)
