/**
 * iSCSI as firmware meets it: the target is shown, a login is taken, and the first block comes and is a boot sector.
 *
 * **Details** The login is at the target that the script's preview names, `…:<client>:PREVIEW`: read-only, what the next boot would begin on. It makes no overlay, begins no boot and
 * ends nobody's session; what a client keeps of its own is not looked into.
 */
import { fail } from "../../../core/errors.ts"
import type { Check } from "../check.ts"
import { type Exam, localAddress, NO_SERVER, type Place, placeText, served } from "../exam.ts"
import { type Found, failed, pass, skip, warn } from "../finding.ts"

const BLOCK = 512
/** RFC 7143 §11.13.5: class and detail. */
const NEEDS_SECRET = 0x0201

export const iscsi: Check = {
  name: "iscsi",
  side: "client",
  async run(exam) {
    if (exam.running === undefined) return [skip("iscsi", NO_SERVER)]
    const at = served(exam, "iscsi")
    if (at === undefined) return [skip("iscsi", "the server does not serve it")]
    const client = await exam.client()
    if (client === undefined) return [skip("iscsi", "no client is registered yet")]
    if (client.links.length === 0) return [skip(client.name, "it is linked to no image")]
    const { text } = await exam.script()
    const target = targetIn(text) ?? `${AUTHORITY}:${client.name.toLowerCase()}:PREVIEW`
    const shown = await discovered(exam, at, target)
    if (shown.state === "fail") return [shown]
    const lun = Math.min(...client.links.map(({ slot }) => slot))
    return [shown, await firstBlock(exam, at, target, lun)]
  },
}

const AUTHORITY = "iqn.2026-11.io.imagelink"

/** RFC 4173 §5: `iscsi:SERVER:PROTOCOL:PORT:LUN:TARGET`. */
const targetIn = (script = ""): string | undefined =>
  /iscsi:(?:\[[^\]]*\]|[^:\s]*):[^:]*:[^:]*:[^:]*:(\S+)/u.exec(script)?.[1]

const discovered = async (exam: Exam, at: Place, target: string): Promise<Found> => {
  const plain = target.replace(/:[^:]*$/u, "")
  try {
    const names = await exam.wires.discover(at, localAddress(exam, at))
    if (names.some((name) => name.toLowerCase() === plain)) return pass("discovery", `${plain} is shown`)
    const others =
      names.length === 0 ? "no target is shown" : `${names.length} targets are shown, and it is none of them`
    return skip("discovery", `${others}: this address is not the client's`)
  } catch (e) {
    return failed("discovery", fail("ISCSI_UNREACHABLE", { at: placeText(at), why: (e as Error).message }))
  }
}

interface Refusal {
  readonly message: string
  readonly status?: number
  readonly loggedIn?: boolean
  readonly movedTo?: string
}

/** SPC-5 §4.4.6. */
const senseKeys: Readonly<Record<number, string>> = {
  2: "the disk is not ready: the server cannot open its image, and its log says why",
  3: "a medium error: the image's file cannot be read there, or what it has does not match its checksum",
}

const senseText = (message: string): string => {
  const sense = Buffer.from(/sense ([0-9a-f]+)/u.exec(message)?.[1] ?? "", "hex")
  const key = (sense[(sense[0] ?? 0) >= 0x72 ? 1 : 2] ?? 0) & 0x0f
  return senseKeys[key] ?? message
}

const firstBlock = async (exam: Exam, at: Place, target: string, lun: number): Promise<Found> => {
  const subject = `${target} LUN ${lun}`
  let block: Buffer
  try {
    block = await exam.wires.firstBlock(at, target, lun, localAddress(exam, at))
  } catch (e) {
    const { status, message, loggedIn, movedTo } = e as Refusal
    if (loggedIn) return failed(subject, fail("DISK_UNREADABLE", { target, why: senseText(message) }))
    if (movedTo !== undefined) return skip(subject, `the server sends this client to ${movedTo}`)
    if (status === NEEDS_SECRET) return skip(subject, "it asks for a secret (CHAP), which only the PC is told")
    if (status === undefined) return failed(subject, fail("ISCSI_UNREACHABLE", { at: placeText(at), why: message }))
    return failed(subject, fail("ISCSI_REFUSED", { target, why: message }))
  }
  const isBootSector = block[BLOCK - 2] === 0x55 && block[BLOCK - 1] === 0xaa
  if (lun === 0 && !isBootSector) return warn(subject, fail("DISK_NOT_BOOTABLE", { target }))
  return pass(subject, "login, and LBA 0 is read: a boot sector")
}
