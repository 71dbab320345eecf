/** Counts the changes that this process makes to files, and kills it with SIGKILL before the nth. */
import fs from "node:fs"
import { syncBuiltinESMExports } from "node:module"
import { tmpdir } from "node:os"

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

/** Every call that changes a file or makes one durable is counted from `begin` on. With 0 it is never killed. Before anything else is imported. */
export const countChanges = async (nth: number) => {
  let counting = false
  let changes = 0
  const counted = (of: object, names: ReadonlyArray<string>) => {
    const functions = of as Record<string, ((...args: Array<unknown>) => unknown) | undefined>
    for (const name of names) {
      const original = functions[name]!
      functions[name] = function (this: unknown, ...args) {
        if (counting && ++changes === nth) process.kill(process.pid, "SIGKILL")
        return original.apply(this, args)
      }
    }
  }
  counted(fs, [...writes, ...writes.map((name) => `${name}Sync`), "writeFileSync"])
  counted(fs.promises, ["rename", "open", "mkdir", "rm", "link", "symlink", "unlink"])
  const any = await fs.promises.open(tmpdir(), "r")
  counted(Object.getPrototypeOf(any), ["write", "writev", "sync", "datasync", "truncate"])
  await any.close()
  syncBuiltinESMExports()
  return {
    begin: () => {
      counting = true
    },
    changes: () => changes,
  }
}
