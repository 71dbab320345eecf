/** A link of so many milliseconds and bytes a second in front of a local server, for as long as something is measured. */
import { type ChildProcess, fork } from "node:child_process"
import { join } from "node:path"

export interface LinkUse {
  readonly bytes: number
  readonly roundTrips: number
  readonly connections: number
}

export interface Link {
  readonly port: number
  /** Since it was started. */
  used(): Promise<LinkUse>
  stop(): void
}

export interface LinkShape {
  readonly roundTripMillis: number
  readonly bytesPerSecond: number
}

const told = <A>(child: ChildProcess) => new Promise<A>((resolve) => child.once("message", (m) => resolve(m as A)))

export const startLink = async (port: number, { roundTripMillis, bytesPerSecond }: LinkShape): Promise<Link> => {
  const args = [port, roundTripMillis, bytesPerSecond].map(String)
  const child = fork(join(import.meta.dirname, "link.ts"), args, { execArgv: ["--conditions=source"] })
  const { port: own } = await told<{ port: number }>(child)
  const used = () => {
    const answer = told<LinkUse>(child)
    child.send("used")
    return answer
  }
  return { port: own, used, stop: () => child.kill() }
}

/** What `work` answered, and what it used of a link of its own. */
export const withLink = async <A>(port: number, shape: LinkShape, work: (link: Link) => Promise<A>) => {
  const link = await startLink(port, shape)
  try {
    return { answer: await work(link), ...(await link.used()) }
  } finally {
    link.stop()
  }
}
