/**
 * Permissions, seen from a user who lacks them. Root may read everything, so under root a child process gives its rights up first.
 */
import { execFile } from "node:child_process"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, expect, it } from "vitest"

const NOBODY = 65_534
const root = join(import.meta.dirname, "../..")
const asNobody = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}
let temporary: string

beforeAll(async () => {
  temporary = await fs.mkdtemp(join(tmpdir(), "imagelink-denied-"))
  await fs.chmod(temporary, 0o755)
  await fs.mkdir(join(temporary, "closed/deeper"), { recursive: true })
  await fs.writeFile(join(temporary, "closed/deeper/a.raw"), new Uint8Array(512))
  await fs.chmod(join(temporary, "closed"), 0o600)
  await fs.writeFile(join(temporary, "locked.raw"), new Uint8Array(512))
  await fs.chmod(join(temporary, "locked.raw"), 0)
  await fs.writeFile(join(temporary, "readable.raw"), new Uint8Array(512))
  await fs.chmod(join(temporary, "readable.raw"), 0o444)
})
afterAll(async () => {
  await fs.chmod(join(temporary, "closed"), 0o700)
  await fs.rm(temporary, { recursive: true, force: true })
})

/** What another user's process gets for each path: `opened`, or code and cause. */
const script = `
  import file from "./plugins/file/index.ts"
  const answers = []
  for (const path of process.argv.slice(1)) {
    const context = { signal: new AbortController().signal, host: { userName: () => "nobody" } }
    answers.push(await file.open({ path }, context).then(
      async (volume) => (await volume.read(new Uint8Array(512), 0, 0, 512), await volume.close(), "opened"),
      (error) => error.code + ": " + error.reason,
    ))
  }
  console.log(JSON.stringify(answers))
`

it("says which user may not do what: search a folder on the way, or read the file", async (context) => {
  const readable = await fs.stat(root).then((stats) => (stats.mode & 0o005) === 0o005)
  if (asNobody.uid !== undefined && !readable) context.skip("other users cannot read this checkout")
  const paths = ["closed/deeper/a.raw", "locked.raw", "readable.raw"].map((name) => join(temporary, name))
  const args = ["--conditions=source", "--input-type=module", "-e", script, "--", ...paths]
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root, ...asNobody, timeout: 30_000 })
  expect(JSON.parse(stdout)).toEqual([
    `IMAGE_ACCESS_DENIED: the server runs as nobody, which may not search ${join(temporary, "closed")}, a folder on the way to it`,
    "IMAGE_ACCESS_DENIED: the server runs as nobody, which may not read it",
    "opened",
  ])
})
