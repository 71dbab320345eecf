/** Room on the disk that holds the data folder, beside what is kept for super clients. */
import { existsSync } from "node:fs"
import { statfs } from "node:fs/promises"
import { dirname } from "node:path"
import { fail } from "../../../core/errors.ts"
import { limits } from "../../../core/limits.ts"
import { reserveBytesDefault } from "../../../core/runtime/overlay-reserve.ts"
import type { Check } from "../check.ts"
import { failed, pass, skip, warn } from "../finding.ts"
import { bytesText } from "../words.ts"

export const diskSpace: Check = {
  name: "disk space",
  side: "server",
  async run({ dataDir, config }) {
    const path = existing(dataDir)
    const { bavail, blocks, bsize, ffree, files } = await statfs(path)
    const [free, total] = [bavail * bsize, blocks * bsize]
    const kept = config.overlayReserveBytes ?? reserveBytesDefault(total)
    if (blocks === 0) return [skip(dataDir, "its file system does not tell")]
    const about = { path: dataDir, free: bytesText(free), kept: bytesText(kept) }
    if (files > 0 && ffree === 0) return [failed(dataDir, fail("DISK_NEARLY_FULL", { ...about, free: "no inode" }))]
    if (free <= kept) return [failed(dataDir, fail("DISK_NEARLY_FULL", about))]
    if (free < limits.doctorFreeBytesMin && free < total * limits.doctorFreeShareMin)
      return [warn(dataDir, fail("DISK_NEARLY_FULL", about))]
    return [pass(dataDir, `${about.free} free of ${bytesText(total)}, ${about.kept} kept for super clients`)]
  },
}

const existing = (path: string): string => (existsSync(path) ? path : existing(dirname(path)))
