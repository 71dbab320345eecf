/**
 * Both block protocols over a disk in memory, as a process of its own that a spec may put into a network it can cut.
 *
 * **Details** On standard output, one JSON value a line: the ports, then `{ asked }` for each read that waits, and the servers' events. Reads wait
 * until a line comes on standard input.
 */
import { createInterface } from "node:readline"
import { linuxHost } from "../../adapters/host/linux.ts"
import { listenIscsi } from "../../adapters/iscsi/server.ts"
import { listenNbd } from "../../adapters/nbd/server.ts"
import { MemoryDevice, MemoryDisks } from "./memory-disks.ts"

const say = (value: unknown): void => console.log(JSON.stringify(value))

const device = new MemoryDevice({ sizeBytes: 2 ** 20, id: "PC-001/0/1" })
const disks = new MemoryDisks().add("client/PC-001/0", device, "PC-001 slot 0")
const read = device.read.bind(device)
device.read = (...args: Parameters<typeof read>) => {
  say({ asked: args[2] })
  return read(...args)
}
device.hold()

const common = { address: "0.0.0.0", port: 0, disks, host: linuxHost(), limits: { unansweredSeconds: 1 } }
const nbd = await listenNbd({ ...common, onEvent: say })
const iscsi = await listenIscsi({ ...common, onEvent: say })
say({ nbd: nbd.port, iscsi: iscsi.port })
for await (const _ of createInterface({ input: process.stdin })) device.letGo()
await Promise.all([nbd.close(), iscsi.close()])
