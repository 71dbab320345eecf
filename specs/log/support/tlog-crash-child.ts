/** Appends to the store in argv[2] and publishes, over and over until it is killed; prints size and root of each checkpoint it signed. */
import { writeSync } from "node:fs"
import { Publisher } from "../../../core/log/tiles/publisher.ts"
import { append, noted, open } from "./store.ts"

const dir = process.argv[2]!
const { log } = await open(dir)
const publisher = new Publisher({ dir, log, key: () => log.key })
for (let n = log.head() + 1; ; n += 100) {
  await append(log, n, { events: Array.from({ length: n % 3 === 0 ? 90 : 7 }, (_, i) => noted(`${n} ${i}`)) })
  const { size, root } = await publisher.publish()
  writeSync(1, `${size} ${Buffer.from(root).toString("base64")}\n`)
}
