/**
 * Flattens the newest version of an image and kills itself with SIGKILL before the nth change to a file: `N DATA IMAGE COMMAND`.
 *
 * **Details** As commit-crash-child.ts, which says what is counted. With N 0 it runs to its end and prints how many changes there were.
 */
import { countChanges } from "./count-changes.ts"

const [nth = "0", data = "", image = "", commandId = ""] = process.argv.slice(2)
const counter = await countChanges(Number(nth))
const { openSite } = await import("../../adapters/compose.ts")
const site = await openSite({ dataDir: data, create: false })
counter.begin()
await site.call("image.flatten", { name: image }, { actor: { kind: "cli", name: "operator" }, commandId })
await site.close()
process.stdout.write(`${counter.changes()}\n`)
