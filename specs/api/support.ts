/** A running server with the API on a loopback port, and one who asks it. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll } from "vitest"
import { type RunningServer, startServer } from "../../adapters/compose-server.ts"
import { effectiveConfig } from "../../core/runtime/config.ts"
import type { Input, OperationName, Result } from "../../core/runtime/site.ts"
import type { TokenRole } from "../../core/runtime/tokens.ts"
import { scratch } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"

export interface ServedSite {
  readonly server: RunningServer
  readonly dir: string
  readonly image: string
  /** Lines of the server's own log. */
  readonly said: ReadonlyArray<string>
  do<N extends OperationName>(name: N, input: Input<N>): Promise<Result<N>>
  token(role: TokenRole, groups?: ReadonlyArray<string>): Promise<string>
  ask(token: string | undefined, method: string, path: string, more?: Asking): Promise<Answered>
}

export interface Asking {
  readonly body?: unknown
  readonly text?: string
  readonly headers?: Readonly<Record<string, string>>
}

export interface Answered {
  readonly status: number
  readonly type: string
  readonly headers: Headers
  readonly text: string
  readonly json: unknown
}

const actor = { kind: "cli", name: "operator" } as const

/** `more`: settings besides, or in place of, ports for NBD and the API. */
export const serveApi = async (
  name: string,
  more: Readonly<Record<string, string | number>> = {},
): Promise<ServedSite> => {
  const dir = scratch(name)
  const image = rawImage(dir, "disk.raw", 4 * 65_536).path
  const said: Array<string> = []
  const config = effectiveConfig([{ from: "spec", settings: { "nbd-port": 0, "api-port": 0, ...more } }])
  const server = await startServer({ dataDir: join(dir, "data"), config, onEvent: ({ text }) => said.push(text) })
  afterAll(() => server.close())
  const base = `http://${server.listeners.api}`
  let tokens = 0
  const call: ServedSite["do"] = (op, input) => server.site.call(op, input, { actor } as never)
  return {
    ...{ server, dir, image, said, do: call },
    async token(role, groups = []) {
      return (await call("token.create", { name: `${role}-${++tokens}`, role, groups })).token
    },
    async ask(token, method, path, { body, text, headers = {} } = {}) {
      const sent = body === undefined ? text : JSON.stringify(body)
      const response = await fetch(`${base}${path}`, {
        method,
        headers: {
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(sent === undefined ? {} : { "content-type": "application/json" }),
          ...headers,
        },
        ...(sent === undefined ? {} : { body: sent }),
      })
      return answered(response)
    },
  }
}

const answered = async (response: Response): Promise<Answered> => {
  const text = await response.text()
  const type = response.headers.get("content-type") ?? ""
  const json = type.includes("json") ? JSON.parse(text) : undefined
  return { status: response.status, type, headers: response.headers, text, json }
}

/** The named events of a streamed answer. */
export const eventsIn = (text: string): ReadonlyArray<{ name: string; id: string | undefined; data: unknown }> =>
  text
    .split("\n\n")
    .filter((block) => block.includes("data: "))
    .map((block) => {
      const field = (key: string) => new RegExp(`^${key}: (.*)$`, "m").exec(block)?.[1]
      return { name: field("event")!, id: field("id"), data: JSON.parse(field("data")!) }
    })

export const fileText = (path: string): string => readFileSync(path, "latin1")
