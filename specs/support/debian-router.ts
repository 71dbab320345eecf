/**
 * What a network's IPv6 router says: that it is there. Without it iPXE of 2019 asks for a quarter of a minute before it goes on with IPv4.
 *
 * **Details** dnsmasq, with nothing but its router advertisements (RFC 4861 §6.2.6).
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { type Network, runBounded } from "./network.ts"

const PREFIX = "fd00:77::"

/** Answers what ends it. */
export const startRouter = async ({ inside }: Network): Promise<() => Promise<void>> => {
  const { status, output } = await runBounded([...inside, "ip", "addr", "add", `${PREFIX}1/64`, "dev", "br0"], 10)
  if (status !== 0) throw new Error(output)
  const [file, ...args] = [
    ...inside,
    ...["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root", "--port=0"],
    ...["--interface=br0", "--enable-ra", `--dhcp-range=${PREFIX},ra-only,64`, "--dhcp-leasefile=/dev/null"],
  ]
  const child = spawn(file!, args, { stdio: "ignore" })
  const ended = once(child, "exit")
  return async () => {
    child.kill("SIGTERM")
    await ended
  }
}
