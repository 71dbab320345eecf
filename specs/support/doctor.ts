/** `imagelink doctor` as a spec has it: what it is alarmed by. */
import { expect } from "vitest"
import { checkNames, examine as examineHere, type Finding } from "../../adapters/compose-doctor.ts"
import { linuxHost } from "../../adapters/host/linux.ts"
import { effectiveConfig } from "../../core/runtime/config.ts"
import type { ConfigFile } from "../../core/runtime/config-file.ts"
import { imagelink, type RunOptions } from "./cli.ts"

export interface Diagnosis {
  readonly status: number | null
  readonly findings: ReadonlyArray<Finding>
  /** `fail PORT_HELD`, each once, in the order of the report. */
  readonly alarms: ReadonlyArray<string>
}

/** Whether this machine's own clock is kept right is no matter of the spec's; where it is not, doctor has to say so. */
const ofThisMachine: ReadonlyArray<string> =
  linuxHost().clockSynchronised?.() === false ? ["warn CLOCK_UNSYNCHRONISED"] : []

const diagnosis = (findings: ReadonlyArray<Finding>, status: number | null): Diagnosis => {
  const all = findings.flatMap(({ state, error }) => (error === undefined ? [] : [`${state} ${error.code}`]))
  return { status, findings, alarms: [...new Set(all)].filter((alarm) => !ofThisMachine.includes(alarm)) }
}

/** The command itself. */
export const examine = async (args: ReadonlyArray<string>, options: RunOptions = {}): Promise<Diagnosis> => {
  const { status, stdout, stderr } = await imagelink(["doctor", "--json", ...args], options)
  try {
    return diagnosis(JSON.parse(stdout).findings, status)
  } catch {
    throw new Error(`doctor ended with ${status}: ${stdout}${stderr}`)
  }
}

/** The same in this process, for a data folder without a server. */
export const look = async (
  dataDir: string,
  settings: ConfigFile,
  only: ReadonlyArray<string> = checkNames,
): Promise<Diagnosis> => {
  const said = new Set(Object.keys(settings))
  const findings = await examineHere({
    ...{ dataDir, only, said, config: effectiveConfig([{ from: "the spec", settings }]), configError: undefined },
    ...{ server: undefined, runningError: undefined, as: undefined, from: { kind: "loopback" }, onProgress: () => {} },
  })
  return diagnosis(findings, findings.some(({ state }) => state === "fail") ? 1 : 0)
}

/** These alarms and no others, each with words that an operator can act on. */
export const judge = (seen: Diagnosis, alarms: ReadonlyArray<string>): void => {
  expect(seen.alarms, JSON.stringify(seen.findings, null, 1)).toEqual(alarms)
  expect(seen.status).toBe(alarms.some((alarm) => alarm.startsWith("fail")) ? 1 : 0)
  for (const { state, error } of seen.findings) {
    expect(error === undefined).toBe(state === "pass" || state === "skip")
    if (error !== undefined) expect([error.cause, error.fix].map((text) => text.length > 10)).toEqual([true, true])
  }
}

/** The first finding with a code. */
export const found = (
  { findings }: Diagnosis,
  code: string,
): Finding & { readonly error: NonNullable<Finding["error"]> } =>
  findings.find(({ error }) => error?.code === code) as never

/** A boot sector, and nothing in it. */
export const bootSector = (): Buffer => {
  const sector = Buffer.alloc(512)
  sector.writeUInt16BE(0x55aa, 510)
  return sector
}

/** What doctor reads of a boot program of iPXE's that is not packed. */
export const bootProgram = (version: string): Buffer =>
  Buffer.from(`MZ${"\0".repeat(5000)}iPXE/%s\0${version}\0`, "latin1")
