/** fio's NBD engine against our server: random writes that it verifies itself. */
import { join } from "node:path"
import { afterEach, describe, expect, it } from "vitest"
import { run, startNbd } from "../support/nbd-server.ts"
import { requires, skipAloud } from "../support/requires.ts"

const stops: Array<() => Promise<void>> = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})

const tool = requires("fio", "fio")
const engine =
  tool.skip || (await run("fio", "--enghelp")).includes("nbd")
    ? tool
    : skipAloud("nbd-fio.spec.ts", "needs fio built with its nbd engine")

describe.skipIf(engine.skip)("fio", () => {
  it.each([
    ["4k", 32, 0],
    ["512-64k", 16, 0.3],
    ["256k", 4, 0],
    ["1m", 4, 0],
  ])("verifies random writes of %s at depth %d (miss rate %d)", async (bs, depth, missRate) => {
    const s = await startNbd({ sizeBytes: 32 * 1024 * 1024, missRate })
    stops.push(s.stop)
    const json = await run(
      "fio",
      "--name=verify",
      "--ioengine=nbd",
      `--uri=${s.uri}`,
      "--rw=randwrite",
      bs.includes("-") ? `--bsrange=${bs}` : `--bs=${bs}`,
      "--blockalign=512",
      `--iodepth=${depth}`,
      "--size=32m",
      "--io_size=16m",
      "--verify=crc32c",
      "--verify_fatal=1",
      "--do_verify=1",
      "--randseed=1",
      "--thread",
      `--aux-path=${s.folder}`,
      "--output-format=json",
      `--output=${join(s.folder, "fio.json")}`,
    ).then(() => run("cat", join(s.folder, "fio.json")))
    const [job] = JSON.parse(json.slice(json.indexOf("{"))).jobs
    expect([job.error, job.write.io_bytes > 0, job.read.io_bytes > 0]).toEqual([0, true, true])
  })
})
