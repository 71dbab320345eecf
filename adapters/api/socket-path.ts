/** Where the control socket of a data folder is: both ends compute the same path. */
import { realpathSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { limits } from "../../core/limits.ts"

export const socketPath = (dataDir: string): string => {
  const real = realpathSync(dataDir)
  const beside = join(real, "control.sock")
  if (Buffer.byteLength(beside) <= limits.unixSocketPathBytesMax) return beside
  const { createHash } = process.getBuiltinModule("node:crypto")
  const name = createHash("sha256").update(real).digest("hex").slice(0, 24)
  return join(tmpdir(), `imagelink-${name}.sock`)
}
