/** Runs a small tool of the system and answers what it printed, within bounds; no shell, and no terminal to ask at. */
import { execFile } from "node:child_process"
import { limits } from "../../../core/limits.ts"

export interface ToolSaid {
  /** The tool is not installed. */
  readonly missing: boolean
  readonly ok: boolean
  readonly stdout: string
  readonly stderr: string
}

/** System folders, which a user's PATH often lacks. */
const PATH = `${process.env.PATH ?? ""}:/usr/sbin:/sbin`

export const runTool = (
  file: string,
  args: ReadonlyArray<string>,
  signal: AbortSignal,
  millisMax: number = limits.doctorToolMillisMax,
): Promise<ToolSaid> =>
  new Promise((resolve) => {
    const options = {
      ...{ timeout: millisMax, maxBuffer: limits.doctorToolBytesMax, killSignal: "SIGKILL" as const, signal },
      env: { ...process.env, PATH, LC_ALL: "C" },
    }
    execFile(file, [...args], options, (error, stdout, stderr) => {
      const missing = (error as NodeJS.ErrnoException | null)?.code === "ENOENT"
      resolve({ missing, ok: error === null, stdout, stderr: stderr.trim() || (error?.message ?? "") })
    })
  })
