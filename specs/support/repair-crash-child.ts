/** Repairs the data folder in argv[2], and says when it begins. */
import { writeSync } from "node:fs"
import { repair } from "./data-folder.ts"

writeSync(1, "begin\n")
await repair(process.argv[2]!)
