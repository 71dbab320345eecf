/** `imagelink doctor`: what keeps PCs from booting, with cause and fix. It looks from this machine, whether a server runs or not. */
import { join } from "node:path"
import { fail, type ImagelinkError, isImagelinkError } from "../../../core/errors.ts"
import { lockHolder } from "../../../core/log/lock-holder.ts"
import { storePaths } from "../../../core/log/store-files.ts"
import { effectiveConfig, type ServeConfig } from "../../../core/runtime/config.ts"
import type { Finding } from "../../compose-doctor.ts"
import { type Column, count, print, printJson, table } from "../output.ts"
import { progressView } from "../progress.ts"
import { type SettingOptions, settingFlags, settingSources, withFlagsOf } from "../settings.ts"
import { dataDir, runningSite } from "../site.ts"
import { type StartedWith, startedWith } from "../started-with.ts"

interface DoctorOptions extends SettingOptions {
  readonly as?: string
  readonly from?: string
  readonly only?: string
}

const HELP = { see: "imagelink doctor --help" }

/** @throws USAGE, CLIENT_NOT_FOUND */
export const doctor = async (options: DoctorOptions): Promise<void> => {
  if (options.server !== undefined)
    throw fail("USAGE", { why: "doctor looks at this machine; run it where the server runs", ...HELP })
  const began = performance.now()
  const { examine, checkNames } = await import("../../compose-doctor.ts")
  const only = onlyOf(options.only, checkNames)
  const dir = dataDir(options)
  const server = await serverOn(dir)
  const told = server.server === undefined ? undefined : toldOf(dir)
  const all: DoctorOptions = withFlagsOf(told?.flags ?? {}, options)
  const settings = await settingsOf(all, { ...told?.environment, ...process.env })
  const progress = await progressView("doctor", options.json ?? false)
  try {
    const findings = await examine({
      ...{ dataDir: dir, as: options.as, only, from: fromOf(all) },
      ...settings,
      ...server,
      onProgress: (done, total) => progress.report({ done, total, unit: "items" }),
    })
    progress.end()
    if (options.json) printJson(reportOf(findings))
    else show(findings, performance.now() - began)
    if (findings.some(({ state }) => state === "fail")) process.exitCode = 1
  } finally {
    progress.end()
    await server.server?.close()
  }
}

const onlyOf = (text: string | undefined, known: ReadonlyArray<string>): ReadonlyArray<string> | undefined => {
  const only = text?.split(",").map((name) => name.trim())
  const unknown = only?.find((name) => !known.includes(name))
  if (unknown === undefined) return only
  throw fail("USAGE", { why: `there is no check ${JSON.stringify(unknown)}; there are ${known.join(", ")}`, ...HELP })
}

interface Settings {
  readonly config: ServeConfig
  readonly configError: ImagelinkError | undefined
  readonly said: ReadonlySet<string>
}

/** What is wrong with them is one of the findings. */
const settingsOf = async (options: DoctorOptions, environment: NodeJS.ProcessEnv): Promise<Settings> => {
  try {
    const sources = await settingSources(options, environment)
    const said = new Set(sources.flatMap(({ settings }) => Object.keys(settings)))
    return { config: effectiveConfig(sources), configError: undefined, said }
  } catch (e) {
    if (!isImagelinkError(e)) throw e
    return { config: effectiveConfig([]), configError: e, said: new Set() }
  }
}

/** What the running server was started with, so that it need not be said again. */
const toldOf = (dir: string): StartedWith | undefined => {
  const pid = lockHolder(join(storePaths(dir).database, "LOCK"))
  return pid === undefined ? undefined : startedWith(pid)
}

const serverOn = async (dir: string) => {
  try {
    return { server: await runningSite(dir), runningError: undefined }
  } catch (e) {
    if (isImagelinkError(e)) return { server: undefined, runningError: e }
    const why = e instanceof Error ? e.message : String(e)
    return { server: undefined, runningError: fail("SERVER_NOT_REACHABLE", { path: dir, why }, { underlying: e }) }
  }
}

/** An address is chosen to ask from; a namespace is entered by this very command. */
const fromOf = (options: DoctorOptions) => {
  const { from = "loopback" } = options
  if (from === "loopback" || from === "here") return { kind: from } as const
  if (/^[\d.]+$|:/u.test(from)) return { kind: "address", address: from } as const
  const self = [process.execPath, ...process.execArgv, process.argv[1]!]
  const as = options.as === undefined ? [] : ["--as", options.as]
  const said = ["--data", dataDir(options), ...settingFlags(options), ...as, "--from", "here", "--json"]
  return { kind: "namespace", name: from, command: [...self, "doctor", ...said] } as const
}

const totalsOf = (findings: ReadonlyArray<Finding>) => {
  const of = (state: Finding["state"]) => findings.filter((one) => one.state === state).length
  return { pass: of("pass"), warn: of("warn"), fail: of("fail"), skip: of("skip") }
}

const reportOf = (findings: ReadonlyArray<Finding>) => ({
  totals: totalsOf(findings),
  findings,
})

const columns: ReadonlyArray<Column<Finding>> = [
  { title: "STATE", value: ({ state }) => (state === "fail" ? "FAIL" : state) },
  { title: "CHECK", value: ({ check }) => check },
  { title: "WHAT", value: ({ subject }) => subject },
  { title: "FOUND", value: ({ text, error }) => (error === undefined ? text : `${text} [${error.code}]`) },
]

const show = (findings: ReadonlyArray<Finding>, millis: number): void => {
  print(table(columns, findings))
  for (const text of alarmTexts(findings)) print(`\n${text}`)
  const { pass, warn, fail: failures, skip } = totalsOf(findings)
  const words = [`${pass} passed`, count(warn, "warning"), count(failures, "failure"), `${skip} skipped`]
  print(`\n${words.join(", ")}; ${(millis / 1000).toFixed(1)} s`)
}

/** Failures first; what several checks met is told once. */
const alarmTexts = (findings: ReadonlyArray<Finding>): ReadonlySet<string> => {
  const texts = findings
    .toSorted((a, b) => rank(a) - rank(b))
    .flatMap(({ state, error }) => {
      if (error === undefined) return []
      const details = (error.details ?? []).map((detail) => `  - ${detail}`)
      const head = `${state}: ${error.message} [${error.code}]`
      return [[head, ...details, `  cause: ${error.cause}`, `  fix: ${error.fix}`].join("\n")]
    })
  return new Set(texts)
}

const rank = ({ state }: Finding): number => (state === "fail" ? 0 : 1)
