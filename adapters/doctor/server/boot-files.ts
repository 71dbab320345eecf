/**
 * The folder that TFTP and HTTP serve: the boot programs that DHCP names, whether they can be read, and how old their iPXE is.
 *
 * **Details** Which program is asked for is the firmware's choice; looked at are those that most PCs ask for and those that the settings name. iPXE says its version in its own
 * text, packed ones do not. It asks for autoexec.ipxe since 2022: that matters only where a DHCP server other than ours sends PCs to it.
 */
import { constants, existsSync } from "node:fs"
import { access, readFile, stat } from "node:fs/promises"
import { join } from "node:path"
import { fail, isImagelinkError } from "../../../core/errors.ts"
import { limits } from "../../../core/limits.ts"
import { bootFolder, IPXE_FOLDER } from "../../../core/runtime/boot-folder.ts"
import type { Check } from "../check.ts"
import type { Exam } from "../exam.ts"
import { type Found, failed, pass, skip, warn } from "../finding.ts"
import { isGuest, ownerOf } from "../store.ts"
import { ipxeVersion, isBeforeAutoexec } from "../system/ipxe-version.ts"
import { barrier } from "../system/users.ts"

/** For BIOS and for UEFI on x64, the first rows of the table of firmware. */
const usual = ["undionly.kpxe", "snponly.efi"]

export const bootFiles: Check = {
  name: "boot files",
  side: "server",
  async run(exam) {
    const { config, dataDir } = exam
    if (!isServed(exam)) return [skip("boot files", "neither TFTP nor HTTP is served")]
    const folder = await bootFolder(config.bootFiles, dataDir).catch((e: unknown) => {
      if (isImagelinkError(e)) return e
      throw e
    })
    if (typeof folder !== "string")
      return [failed("boot files", missing(usual.join(", "), config.bootFiles ?? IPXE_FOLDER))]
    const named = (config.dhcp?.firmware ?? []).map(({ program }) => program)
    const programs = [...new Set([...usual, ...named])]
    const found = await Promise.all(programs.map((program) => judge(folder, program, exam)))
    return [...found, ...secureBoot(folder)]
  },
}

const isServed = ({ config, running }: Exam): boolean =>
  running === undefined
    ? config.tftpPort !== "off" || config.httpPort !== "off"
    : running.listeners.tftp !== undefined || running.listeners.http !== undefined

const missing = (file: string, folder: string) => {
  const fix =
    usual.includes(file) || file.includes(", ")
      ? folder === IPXE_FOLDER
        ? "apt install ipxe"
        : `apt install ipxe, and copy or link ${file} from ${IPXE_FOLDER} into ${folder}`
      : `put ${file} into ${folder}, or take it out of the settings ([[firmware]])`
  return fail("BOOT_FILE_MISSING", { file, folder, fix })
}

const judge = async (folder: string, program: string, exam: Exam): Promise<Found> => {
  const path = join(folder, program)
  const stats = await stat(path).catch(() => undefined)
  if (stats === undefined || !stats.isFile()) return failed(program, missing(program, folder))
  try {
    await access(path, constants.R_OK)
  } catch (e) {
    if (isGuest(exam)) return skip(program, "this user may not read it")
    return failed(program, fail("FILE_UNREADABLE", { path, why: (e as Error).message }, { underlying: e }))
  }
  const user = ownerOf(exam)
  const closed = user === undefined ? undefined : barrier(user, path)
  if (user !== undefined && closed !== undefined)
    return failed(
      program,
      fail("FILE_UNREADABLE", { path, why: `${user.name}, whose the data folder is, may not read ${closed}` }),
    )
  if (stats.size > limits.doctorTftpBytesMax) return pass(program, path)
  const version = ipxeVersion(await readFile(path))
  if (version === undefined) return pass(program, path)
  if (!isBeforeAutoexec(version)) return pass(program, `${path}, iPXE ${version}`)
  return isLedByDhcp(exam)
    ? pass(program, `${path}, iPXE ${version}: too old for autoexec.ipxe, and led to its script by our DHCP`)
    : warn(program, fail("IPXE_OLD", { file: program, version }))
}

const isLedByDhcp = ({ config, running }: Exam): boolean =>
  running === undefined ? config.dhcp !== undefined : running.listeners.dhcp !== undefined

/** Signed programs are used as a pair (adapters/dhcp has which). */
const secureBoot = (folder: string): ReadonlyArray<Found> =>
  ["x86_64-sb", "arm64-sb", "ipxeboot/x86_64-sb", "ipxeboot/arm64-sb"].flatMap((name) => {
    const at = join(folder, name)
    if (!existsSync(at)) return []
    const lacks = ["snponly-shim.efi", "snponly.efi"].find((file) => !existsSync(join(at, file)))
    if (lacks === undefined) return [pass(name, "signed boot programs: the shim and what it loads")]
    return [warn(name, fail("SECURE_BOOT_INCOMPLETE", { folder: at, file: lacks }))]
  })
