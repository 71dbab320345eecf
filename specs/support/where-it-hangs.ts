/**
 * What a machine in QEMU does that does not go on: its processor, twice, and on its own console what its kernel's tasks wait for.
 *
 * **Details** The same instruction twice and a busy QEMU: it is carried out for ever. Another one, or a halted processor: the guest waits, and Alt-SysRq-W makes its
 * kernel say for what (option `sysrq_always_enabled`). Asking is bounded as everything is, for QEMU itself may hang.
 */
import { setTimeout as sleep } from "node:timers/promises"
import { tell } from "./machine.ts"

const ASK_SECONDS = 20

const ask = async (qmp: string): Promise<string> => {
  const monitor = (command: string) => tell(qmp, "human-monitor-command", { "command-line": command })
  const processor = async () => /RIP=\S+|EIP=\S+/.exec(String(await monitor("info registers")))?.[0]
  const before = await processor()
  await tell(qmp, "send-key", { keys: ["alt", "sysrq", "w"].map((data) => ({ type: "qcode", data })) })
  await sleep(5000)
  return `its processor is at ${before}, and five seconds later at ${await processor()}`
}

/** Of the machine with this QMP socket. */
export const whereItHangs = (qmp: string): Promise<string> => {
  const late = sleep(ASK_SECONDS * 1000, "QEMU does not answer either", { ref: false })
  return Promise.race([ask(qmp).catch(String), late])
}
