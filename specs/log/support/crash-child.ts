/**
 * Appends commands to the store in argv[2] until it is killed, and prints each position once it was acknowledged.
 *
 * Every tenth command has several events, so that a kill can fall into a batch.
 */
import { writeSync } from "node:fs"
import { append, database, noted, open, smallDatabase } from "./store.ts"

const [dir, commands, buffers] = [process.argv[2]!, Number(process.argv[3]), process.argv[4]]
const { log, close } = await open(dir, { database: buffers === "small" ? smallDatabase : database })
const from = log.head()
for (let n = 1; n <= commands; n++) {
  const events = Array.from({ length: n % 10 === 0 ? 7 : 1 }, (_, i) => noted(`${from} ${n} ${i}`))
  const { position } = await append(log, from + n, { events })
  writeSync(1, `${position}\n`)
}
await close()
