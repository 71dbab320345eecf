/** `imagelink serve`: opens the store, listens, and serves until it is told to stop. Its log is on stderr: for people on a terminal, JSON lines anywhere else. */
import { effectiveConfig } from "../../../core/runtime/config.ts"
import { handedOver, openHandedOver } from "../../../core/runtime/handed-over.ts"
import { jsonLine, type LogLine, prettyLine } from "../../../core/runtime/log-line.ts"
import { located } from "../../../core/runtime/refused-setting.ts"
import { print, printJson } from "../output.ts"
import { type SettingOptions, settingSources } from "../settings.ts"
import { dataDir } from "../site.ts"

export const serve = async (options: SettingOptions): Promise<void> => {
  const dir = dataDir(options)
  const first = await settingSources(options)
  const config = effectiveConfig(first)
  let logLevel = (): keyof typeof shown => config.logLevel
  const write = process.stderr.isTTY === true ? prettyLine : jsonLine
  const onEvent = (line: LogLine) => {
    if (shown[logLevel()].includes(line.level)) process.stderr.write(`${write(line, Date.now())}\n`)
  }
  const stopped = stopSignal()
  const reloads = reloadSignals()
  const sockets = await openHandedOver(takeHandedOver())
  const { startServer, waitForInterface } = await import("../../compose-server.ts")
  const refused = (e: unknown) => {
    sockets.close()
    throw located(first, e)
  }
  const ready = await waitForInterface(config, { stopped, onEvent }).catch(refused)
  if (!ready) return sockets.close()
  const sources = { first, read: () => settingSources(options) }
  const server = await startServer({ dataDir: dir, config, sources, onEvent, sockets }).catch(refused)
  logLevel = () => server.config().logLevel
  // What came of it is in the log.
  reloads.heard(() => server.reload().catch(() => {}))
  onEvent({ level: "debug", text: `effective configuration: ${JSON.stringify(config)}` })
  if (options.json) printJson({ ready: true, listeners: server.listeners })
  else for (const [protocol, at] of Object.entries(server.listeners)) print(`${protocol.padEnd(8)} ${at}`)
  await stopped
  await server.close()
}

const shown = { error: ["error"], info: ["error", "info"], debug: ["error", "info", "debug"] }

/** SIGHUP, kept for as long as there is no server to tell. */
const reloadSignals = () => {
  let tell: (() => void) | undefined
  let early = false
  process.on("SIGHUP", () => {
    if (tell === undefined) early = true
    else tell()
  })
  return {
    heard(reload: () => unknown) {
      tell = reload
      if (early) reload()
    },
  }
}

/** Once: what this process starts is given none of them. */
const takeHandedOver = () => {
  const given = handedOver(process.env, process.pid)
  for (const key of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]) delete process.env[key]
  return given
}

/** The first SIGINT or SIGTERM asks, even while the server is still starting; a second one ends the process at once. */
const stopSignal = (): Promise<void> =>
  new Promise((resolve) => {
    let asked = false
    const stop = () => {
      if (asked) process.exit(1)
      asked = true
      resolve()
    }
    process.on("SIGINT", stop)
    process.on("SIGTERM", stop)
  })
