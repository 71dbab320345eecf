/** What DHCP says to the client that is asked as, from the place that is asked from. */
import { randomBytes } from "node:crypto"
import { networkInterfaces } from "node:os"
import { type Exam, NO_SERVER, served } from "../exam.ts"
import { readText } from "../system/proc.ts"
import { askBootServer, hear } from "./dhcp-hearing.ts"
import { asks, type Hearing, type Offer, unasked } from "./offers.ts"

/** `all`: everybody is waited for; else our own server alone, and so it is on loopback, where nobody else is. */
export const hearDhcp = async (exam: Exam, all: boolean): Promise<Hearing> => {
  const { running, config, host } = exam
  const at = served(exam, "dhcp")
  if (running === undefined) return unasked(NO_SERVER)
  if (at === undefined) return unasked("the server does not serve it")
  const mac = (await exam.client())?.mac ?? strangerMac()
  const name = interfaceToAskOn(exam.from.kind === "here", config.dhcp?.interface)
  if (name === undefined) return unasked("there is no interface to ask on")
  const isOurs = ({ server }: Offer) => server === at.address
  const isEnough = (offers: Hearing["offers"]) => asks.every((ask) => offers[ask].some(isOurs))
  const isAlone = name === "lo"
  const asking = {
    ...{ mac, host, server: at, interface: isAlone ? undefined : name },
    isEnough: all && !isAlone ? () => false : isEnough,
  }
  const [hearing, bootServer] = await Promise.all([hear(asking), all ? bootServerSays(exam, mac, name) : undefined])
  return { ...hearing, bootServer }
}

/** Its socket is kept to the interface, so only another machine, or namespace, reaches it; firmware asks it where ours is a proxy. */
const bootServerSays = async (exam: Exam, mac: string, name: string): Promise<Hearing["bootServer"]> => {
  const at = served(exam, "dhcp-proxy")
  const own = networkInterfaces()[name]?.find(({ family }) => family === "IPv4")?.address
  if (exam.from.kind !== "here" || exam.config.dhcp?.mode !== "proxy" || at === undefined || own === undefined)
    return undefined
  return own === at.address ? undefined : askBootServer(mac, own, at)
}

/** Locally administered, so that it is no card's (IEEE 802, §8.2). */
const strangerMac = (): string => ["02", ...randomBytes(5).toString("hex").match(/../gu)!].join(":")

/** The one that the server serves; in another namespace, where that is not there, the first with broadcasts. */
const interfaceToAskOn = (isElsewhere: boolean, served: string | undefined): string | undefined => {
  const there = interfaces()
  if (served !== undefined && there.includes(served)) return served
  return isElsewhere ? there.find((name) => name !== "lo") : undefined
}

/** proc_pid_net(5): of the namespace that this process is in. */
const interfaces = (): ReadonlyArray<string> =>
  (readText("/proc/net/dev") ?? "").split("\n").flatMap((line) => {
    const [, name] = /^\s*([^:\s]+):/u.exec(line) ?? []
    return name === undefined ? [] : [name]
  })
