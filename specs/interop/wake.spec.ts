/** A magic packet in a real network: it leaves by the server's interface, and a PC of that network hears it. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { expect, it } from "vitest"
import { imagelink, json, scratch, startServe } from "../support/cli.ts"
import { makeNetwork, requiresNetwork, runBounded, SERVER } from "../support/network.ts"

const { skip } = requiresNetwork("wake.spec.ts")
const data = join(scratch("wake"), "data")
const MAC = "52:54:00:00:00:31"

/** Says that it listens, and then the first datagram that comes to port 9. */
const LISTEN = `const s = require("node:dgram").createSocket("udp4")
s.on("message", (m, from) => { console.log(from.address + " " + m.toString("hex")); s.close() })
s.bind(9, () => console.log("listens"))`

let lan: ReturnType<typeof makeNetwork>
if (!skip) lan = makeNetwork()

it.skipIf(skip)("is heard by whoever is in the network of the server's address", async () => {
  const inside = lan.client(MAC)
  // A card takes any frame; a system that listens in its place takes what is for its network.
  await runBounded([...inside, "ip", "address", "add", "10.77.0.31/24", "dev", "eth0"], 10)
  const [file, ...args] = [...inside, process.execPath, "-e", LISTEN]
  const pc = spawn(file!, args, { stdio: ["ignore", "pipe", "inherit"] })
  let said = ""
  pc.stdout.on("data", (chunk: Buffer) => {
    said += chunk
  })
  await once(pc.stdout, "data")
  expect((await imagelink(["client", "add", MAC, "--name", "PC-031"], { data })).status).toBe(0)
  const server = await startServe(data, ["--address", SERVER], { inside: lan.inside })
  const closed = once(pc, "close")
  try {
    const { clients } = await json<{ readonly clients: ReadonlyArray<object> }>(["client", "wake", "PC-031"], { data })
    expect(clients).toEqual([{ client: "PC-031", mac: MAC, sentTo: ["10.77.0.255 by br0"] }])
    const late = setTimeout(() => pc.kill("SIGKILL"), 20_000)
    await closed
    clearTimeout(late)
    expect(said).toBe(`listens\n${SERVER} ffffffffffff${"525400000031".repeat(16)}\n`)
  } finally {
    pc.kill()
    await server.stop()
  }
})
