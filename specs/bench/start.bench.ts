/**
 * How long a command takes to start: `imagelink links` on a store of a thousand clients, beside a bare `node -e 0`.
 *
 *     npm run bench -- start [rounds]        needs dist/
 *
 * **Details** Whole processes, in turn; medians of wall time. The aim is three times a bare Node. Two states are timed: the checkpoint is at the
 * head (as after an import), and a few commands later, when the database has to be opened and its tail folded.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { median } from "./support/load.ts"

const rounds = Number(process.argv[2] ?? 21)
const AIM = 3
const dir = mkdtempSync(join(tmpdir(), "imagelink-start-"))
const data = join(dir, "data")
const imagelink = (...args: ReadonlyArray<string>) =>
  execFileSync("bin/imagelink", [...args, "--data", data], { stdio: "pipe" })

const wall = (command: string, args: ReadonlyArray<string>): number => {
  const from = performance.now()
  const { status } = spawnSync(command, args, { stdio: "ignore" })
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${status}`)
  return performance.now() - from
}

const compare = (what: string): void => {
  const ours: Array<number> = []
  const bare: Array<number> = []
  for (let round = 0; round < rounds; round++) {
    ours.push(wall("bin/imagelink", ["links", "--data", data]))
    bare.push(wall(process.execPath, ["-e", "0"]))
  }
  const [a, b] = [median(ours), median(bare)]
  console.log(
    `${what.padEnd(36)}${a.toFixed(1).padStart(8)} ms${b.toFixed(1).padStart(10)} ms${(a / b).toFixed(2).padStart(8)}${a / b > AIM ? "!" : ""}`,
  )
}

try {
  writeFileSync(join(dir, "disk.raw"), Buffer.alloc(2 ** 20))
  const row = (_: unknown, n: number) =>
    `52:54:00:00:${(n >> 8).toString(16)}:${(n & 255).toString(16).padStart(2, "0")},PC-${n}`
  writeFileSync(
    join(dir, "clients.csv"),
    `mac,name\n${Array.from({ length: 1000 }, row)
      .join("\n")
      .replaceAll(/:(\w)(?=[:,])/g, ":0$1")}\n`,
  )
  imagelink("image", "add", "win11", join(dir, "disk.raw"))
  imagelink("client", "import", join(dir, "clients.csv"), "--image", "win11")
  imagelink("links")
  console.log(
    `${"imagelink links, 1000 clients".padEnd(36)}${"links".padStart(11)}${"node -e 0".padStart(13)}${"ratio".padStart(8)}`,
  )
  compare("checkpoint at the head")
  for (let n = 1; n <= 5; n++) imagelink("client", "add", `52:54:00:ff:00:0${n}`)
  compare("five commands after the checkpoint")
  console.log(`medians of ${rounds} rounds; "!": above ${AIM} times`)
} finally {
  rmSync(dir, { recursive: true, force: true })
}
