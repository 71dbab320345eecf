/**
 * Commits an image and kills itself with SIGKILL before the nth change to a file: `N DATA IMAGE COMMAND`.
 *
 * **Details** Every call that changes a file or makes one durable is counted from the moment the commit begins. With N 0 it runs to its end and prints how
 * many there were.
 */
import fs from "node:fs"
import { syncBuiltinESMExports } from "node:module"
import { tmpdir } from "node:os"

const [nth = "0", data = "", image = "", commandId = ""] = process.argv.slice(2)
let counting = false
let changes = 0
const counted = (of: object, names: ReadonlyArray<string>) => {
  const functions = of as Record<string, ((...args: Array<unknown>) => unknown) | undefined>
  for (const name of names) {
    const original = functions[name]!
    functions[name] = function (this: unknown, ...args) {
      if (counting && ++changes === Number(nth)) process.kill(process.pid, "SIGKILL")
      return original.apply(this, args)
    }
  }
}
const writes = [
  "write",
  "writev",
  "fsync",
  "fdatasync",
  "ftruncate",
  "rename",
  "rm",
  "mkdir",
  "link",
  "symlink",
  "unlink",
]
counted(fs, [...writes, ...writes.map((name) => `${name}Sync`), "writeFileSync"])
counted(fs.promises, ["rename", "open", "mkdir", "rm", "link", "symlink", "unlink"])
const any = await fs.promises.open(tmpdir(), "r")
counted(Object.getPrototypeOf(any), ["write", "writev", "sync", "datasync", "truncate"])
await any.close()
syncBuiltinESMExports()

const { openSite } = await import("../../adapters/compose.ts")
const site = await openSite({ dataDir: data, create: false })
counting = true
await site.call("image.commit", { name: image }, { actor: { kind: "cli", name: "operator" }, commandId })
await site.close()
process.stdout.write(`${changes}\n`)
