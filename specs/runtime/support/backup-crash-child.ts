/**
 * Makes or restores a backup and kills itself with SIGKILL before the nth change to a file: `WHAT N DATA BACKUP TARGET`.
 *
 * **Details** Every call that changes a file or makes one durable is counted, in both of Node's interfaces, before anything else is loaded. With N 0 it
 * runs to its end and prints how many there were.
 */
import fs from "node:fs"
import { syncBuiltinESMExports } from "node:module"

const [what, nth = "0", data = "", backup = "", target = ""] = process.argv.slice(2)
let changes = 0
const step = () => {
  if (++changes === Number(nth)) process.kill(process.pid, "SIGKILL")
}
const counted = (of: object, names: ReadonlyArray<string>) => {
  const functions = of as Record<string, (...args: Array<unknown>) => unknown>
  for (const name of names) {
    const original = functions[name]!
    functions[name] = (...args) => {
      step()
      return original.apply(of, args)
    }
  }
}
counted(fs, ["renameSync", "writeFileSync", "mkdirSync", "rmSync", "fsyncSync", "copyFileSync", "writeSync"])
counted(fs.promises, ["rename", "open", "mkdir", "rm", "copyFile", "link", "utimes"])
syncBuiltinESMExports()

const { openSite, restoreSite } = await import("../../../adapters/compose.ts")
const actor = { kind: "cli", name: "operator" } as const
if (what === "backup") {
  const site = await openSite({ dataDir: data, create: false })
  await site.call("backup", { dir: backup, images: true }, { actor })
  await site.close()
} else {
  const { signal } = new AbortController()
  const onProgress = () => {}
  await restoreSite({ ...{ backup, data: target, force: true, dryRun: false, actor, signal }, onProgress })
}
process.stdout.write(`${changes}\n`)
