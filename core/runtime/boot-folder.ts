/** Which folder TFTP and HTTP serve: the one that was named, else `boot/` of the data folder, else the distribution's iPXE. */
import { stat } from "node:fs/promises"
import { join, resolve } from "node:path"
import { refuseSetting } from "./refused-setting.ts"

/** Where Debian's package `ipxe` puts its binaries. */
export const IPXE_FOLDER = "/usr/lib/ipxe"

const isFolder = (path: string): Promise<boolean> =>
  stat(path).then(
    (s) => s.isDirectory(),
    () => false,
  )

/** @throws CONFIG_INVALID where there is no such folder */
export const bootFolder = async (named: string | undefined, dataDir: string): Promise<string> => {
  const tried = named === undefined ? [join(dataDir, "boot"), IPXE_FOLDER] : [named]
  for (const folder of tried) if (await isFolder(folder)) return resolve(folder)
  const why = `there is nothing to serve, because there is no folder ${tried.join(" or ")}`
  throw refuseSetting(["boot-files"], why)
}
