/**
 * Which answer a request gets: a client's script, the script that leads there, or a file of the boot folder.
 *
 *     /boot/52-54-00-00-00-01.ipxe     the client's script; with `?preview`, what it would say, without a boot id
 *     /boot/52-54-00-00-00-01/reboot   yes or no: whether an operator asks the client to boot anew
 *     /…/autoexec.ipxe                 leads to the client's script, unless the folder has a file of that name
 *     /…                               a file
 *
 * **Details** Every answer has its exact length; nothing is redirected and nothing is chunked, because firmware takes neither well. Slashes
 * that come twice are one: firmware that puts a URL together writes them.
 */
import type { IncomingMessage } from "node:http"
import { isIPv4 } from "node:net"
import { parseMac } from "../../core/domain/names.ts"
import { type BootFiles, type BootPeer, FileRefused, isAutoexec, textFile } from "../../core/runtime/boot-files.ts"
import { autoexecScript } from "../../core/runtime/boot-script.ts"
import type { BootScripts } from "../../core/runtime/boot-scripts.ts"
import type { OpenedFile } from "../../core/runtime/held-file.ts"
import { modelIn } from "../../core/runtime/machine-model.ts"
import { contentType, SCRIPT_TYPE } from "./content-type.ts"

export interface Answer {
  readonly status: 200
  readonly type: string
  readonly file: OpenedFile
  /** Made for this request alone. */
  readonly script: boolean
  /** It is asked for again and again. */
  readonly polled: boolean
}
export interface Refusal {
  readonly status: 400 | 403 | 404 | 405
}

export interface Asked {
  readonly method: "GET" | "HEAD"
  /** Decoded, without the first slash. */
  readonly name: string
  readonly query: string
  readonly peer: BootPeer
  /** Address that was connected to. */
  readonly local: string
  readonly server: string
  readonly http: string
}

/** IPv4 in an IPv6 socket is written as IPv4. */
const plain = (address: string | undefined): string => (address ?? "").replace(/^::ffff:/iu, "")

const decoded = (path: string): string | undefined => {
  try {
    return decodeURIComponent(path)
  } catch {
    return undefined
  }
}

/** What is asked, or how it is refused. */
export const askedOf = ({ method, url = "", headers, socket }: IncomingMessage): Asked | Refusal => {
  if (method !== "GET" && method !== "HEAD") return { status: 405 }
  const target = url.replace(/^http:\/\/[^/]*/iu, "")
  const [path = "", query = ""] = target.split("?", 2)
  const name = decoded(path)
  if (!path.startsWith("/") || name === undefined) return { status: 400 }
  const local = plain(socket.localAddress)
  const host = local.includes(":") ? `[${local}]` : local
  // The name that the client knows the server by, as long as it can be part of a script.
  const named = headers.host !== undefined && /^[a-z0-9.-]+(:\d{1,5})?$/iu.test(headers.host) ? headers.host : undefined
  const address = named?.replace(/:\d+$/u, "")
  return {
    method,
    name: name.replace(/^\/+/u, ""),
    query,
    peer: { address: plain(socket.remoteAddress), port: socket.remotePort ?? 0 },
    local,
    server: address !== undefined && isIPv4(address) ? address : local,
    http: `http://${named ?? `${host}:${socket.localPort}`}`,
  }
}

const scriptMac = (name: string): string | undefined => {
  const [, mac] = /^boot\/+([^/]+)\.ipxe$/iu.exec(name) ?? []
  return mac === undefined ? undefined : parseMac(mac)
}

const rebootMac = (name: string): string | undefined => {
  const [, mac] = /^boot\/+([^/]+)\/+reboot$/iu.exec(name) ?? []
  return mac === undefined ? undefined : parseMac(mac)
}

export interface Sources {
  readonly files: BootFiles
  readonly scripts: BootScripts
  readonly rebootWanted: (mac: string) => boolean
}

export const answerTo = async (asked: Asked, { files, scripts, rebootWanted }: Sources): Promise<Answer | Refusal> => {
  const { name, query, peer, local, server, http, method } = asked
  const mac = scriptMac(name)
  if (mac !== undefined) {
    const { model, rest } = modelIn(query)
    const how = rest === "preview" ? { choice: "", preview: true } : { choice: decoded(rest) ?? "" }
    const said = { ...how, head: method === "HEAD", ...(model === undefined ? {} : { model }) }
    const ask = { mac, peer: peer.address, local, server, http, ...said }
    return scriptAnswer(await scripts.script(ask), true)
  }
  const polling = rebootMac(name)
  if (polling !== undefined) return { ...scriptAnswer(rebootWanted(polling) ? "yes\n" : "no\n", true), polled: true }
  try {
    const file = await files.open(name, peer)
    if (file !== undefined) return { status: 200, type: contentType(name), file, script: false, polled: false }
  } catch (e) {
    if (e instanceof FileRefused) return { status: 403 }
    throw e
  }
  return isAutoexec(name) ? scriptAnswer(autoexecScript(http), false) : { status: 404 }
}

const scriptAnswer = (text: string, script: boolean): Answer => ({
  status: 200,
  type: SCRIPT_TYPE,
  file: textFile(text),
  script,
  polled: false,
})
