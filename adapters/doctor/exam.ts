/** What every check is given: the site's settings, the server that runs, the operator's choices, and the ways to ask. */
import { networkInterfaces } from "node:os"
import type { ImagelinkError } from "../../core/errors.ts"
import type { Host } from "../../core/host.ts"
import type { ServeConfig } from "../../core/runtime/config.ts"
import type { ClientRow } from "../../core/runtime/site/clients.ts"
import type { Site } from "../../core/runtime/site.ts"
import type { ImageOpener } from "../../core/storage/opener.ts"
import type { Hearing } from "./client/offers.ts"

export interface Exam {
  readonly dataDir: string
  /** Those that `serve` would have; the defaults where `configError` says that there is something wrong with them. */
  readonly config: ServeConfig
  readonly configError: ImagelinkError | undefined
  /** Keys that somebody set; the others are as they are by default. */
  readonly said: ReadonlySet<string>
  /** The server on this data folder, if one runs. */
  readonly running: RunningServer | undefined
  /** Why one that seems to run cannot be asked. */
  readonly runningError: ImagelinkError | undefined
  /** The process that has the store open, where the system tells: the server, or another command. */
  readonly holder: number | undefined
  /** The server, or the store itself where none runs. @throws DATA_NOT_FOUND and what opening a store throws */
  readonly site: () => Promise<Site>
  readonly images: ImageOpener
  readonly host: Host
  /** UTC milliseconds. */
  readonly now: () => number
  readonly wires: Wires
  /** What the probes of the client's side ask as; undefined: there is no client, or nobody can tell. */
  readonly client: () => Promise<ClientRow | undefined>
  readonly from: From
  /** Everything that DHCP said to the client, by whomever: it takes its time. */
  readonly hearing: () => Promise<Hearing>
  /** The same, as soon as our own server has said what it says. */
  readonly told: () => Promise<Hearing>
  /** The iPXE script that the client would be given. */
  readonly script: () => Promise<ScriptShown>
}

export interface RunningServer {
  /** Undefined where the system does not tell. */
  readonly pid: number | undefined
  readonly version: string
  /** Protocol to `address:port`; that of the control socket is its path. */
  readonly listeners: Readonly<Record<string, string>>
}

/** Where the client's side is tried from. */
export type From =
  /** This machine, as 127.0.0.1 where the protocol lets an address be chosen. */
  | { readonly kind: "loopback" }
  /** This machine, or the network namespace that doctor itself runs in; the routes choose. */
  | { readonly kind: "here" }
  | { readonly kind: "address"; readonly address: string }

export interface ScriptShown {
  /** Undefined: nothing says where it is. */
  readonly url: string | undefined
  readonly text: string | undefined
  /** Why there is no text. */
  readonly why: string | undefined
}

/** The clients of our own adapters; each from `local` where it is named. */
export interface Wires {
  /** @throws with the protocol's error code in `code`, or without one where nothing came */
  tftp(at: Place, file: string, local: string | undefined): Promise<Buffer>
  /** @throws Error */
  http(url: string, local: string | undefined): Promise<string>
  /** Names of the targets that are shown. @throws with `status` where the login was refused */
  discover(at: Place, local: string | undefined): Promise<ReadonlyArray<string>>
  /** The first 512 bytes of a target's LUN. @throws with `status` where the login was refused, with `loggedIn` where reading failed */
  firstBlock(at: Place, target: string, lun: number, local: string | undefined): Promise<Buffer>
}

export interface Place {
  readonly address: string
  readonly port: number
}

export const placeText = ({ address, port }: Place): string =>
  `${address.includes(":") ? `[${address}]` : address}:${port}`

/** Of `10.0.0.1:69` or `[::1]:69`. */
export const placeOf = (at: string | undefined): Place | undefined => {
  const [, address, port] = /^\[?(.*?)\]?:(\d+)$/u.exec(at ?? "") ?? []
  return address === undefined || port === undefined ? undefined : { address, port: Number(port) }
}

export const isWildcard = (address: string): boolean => address === "0.0.0.0" || address === "::"

export const isLoopback = (address: string): boolean => address === "::1" || address.startsWith("127.")

/** The address to ask from, if one is to be chosen. */
export const localAddress = ({ from }: Exam, at: Place): string | undefined => {
  if (from.kind === "address") return from.address
  // Loopback leads to this machine's own addresses, and nowhere else.
  if (from.kind === "here" || !isOfThisMachine(at.address)) return undefined
  return at.address.includes(":") ? "::1" : "127.0.0.1"
}

const isOfThisMachine = (address: string): boolean =>
  isLoopback(address) || Object.values(networkInterfaces()).some((list) => list?.some((one) => one.address === address))

/** Where a protocol of the running server is reached from this machine. */
export const served = ({ running }: Exam, protocol: string): Place | undefined => {
  const at = placeOf(running?.listeners[protocol])
  if (at === undefined || !isWildcard(at.address)) return at
  return { ...at, address: at.address === "::" ? "::1" : "127.0.0.1" }
}

export const NO_SERVER = "no server runs on this data folder"
