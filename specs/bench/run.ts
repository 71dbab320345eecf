/** `npm run bench -- NAME [arguments]`: runs specs/bench/NAME.bench.ts, or lists what there is. */
import { readdirSync } from "node:fs"

const [name, ...rest] = process.argv.slice(2)
const names = readdirSync(import.meta.dirname)
  .filter((f) => f.endsWith(".bench.ts"))
  .map((f) => f.slice(0, -".bench.ts".length))
if (name === undefined || !names.includes(name)) {
  console.log(`usage: npm run bench -- NAME [arguments]\n\n${names.map((n) => `  ${n}`).join("\n")}`)
  process.exitCode = name === undefined ? 0 : 2
} else {
  process.argv.splice(2, process.argv.length, ...rest)
  await import(`./${name}.bench.ts`)
}
