/**
 * A TFTP read of what firmware would be sent to: first by our own client, which tells why not, then by the npm package `tftp2`, which shares no line with our server.
 *
 * **Details** `tftp2` speaks plain RFC 1350, waits for ever and takes no refusal, so it is asked only what our own client was given, and within a time. What comes is compared with
 * the file in the folder of boot files, where that can be read here.
 */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import tftp2 from "tftp2"
import { fail } from "../../../core/errors.ts"
import { limits } from "../../../core/limits.ts"
import { bootFolder } from "../../../core/runtime/boot-folder.ts"
import type { Check } from "../check.ts"
import { type Exam, localAddress, NO_SERVER, type Place, placeText, served } from "../exam.ts"
import { type Found, failed, pass, skip } from "../finding.ts"
import { asks } from "./offers.ts"

/** Small, and what a BIOS asks for. */
const USUAL = "undionly.kpxe"

export const tftp: Check = {
  name: "tftp",
  side: "client",
  async run(exam, signal) {
    if (exam.running === undefined) return [skip("tftp", NO_SERVER)]
    const at = served(exam, "tftp")
    if (at === undefined) return [skip("tftp", "the server does not serve it")]
    const { offers } = await exam.told()
    const named = asks
      .filter((ask) => ask !== "ipxe")
      .flatMap((ask) => offers[ask].filter(({ next }) => next === at.address).map(({ file }) => file))
    const files = [...new Set(named.filter((file) => file !== "" && !file.includes("://")))]
    return Promise.all((files.length === 0 ? [USUAL] : files).map((file) => read(exam, at, file, signal)))
  },
}

const read = async (exam: Exam, at: Place, file: string, signal: AbortSignal): Promise<Found> => {
  const where = placeText(at)
  const wrong = (why: string) => failed(file, fail("TFTP_WRONG", { file, at: where, why }))
  let bytes: Buffer
  try {
    bytes = await exam.wires.tftp(at, file, localAddress(exam, at))
  } catch (e) {
    const { code, message } = e as { readonly code?: number; readonly message: string }
    return code === undefined ? failed(file, fail("TFTP_SILENT", { file, at: where })) : wrong(`it answers: ${message}`)
  }
  const own = await ownFile(exam, file)
  if (own !== undefined && !own.equals(bytes))
    return wrong(`${bytes.length} bytes came, and they are not those of the file, which has ${own.length}`)
  const plain = await readPlain(at, file, signal)
  if (plain === undefined) return wrong("a client without options (RFC 1350) does not get to its end")
  if (!plain.equals(bytes)) return wrong("a client without options (RFC 1350) is given other bytes")
  return pass(file, `${bytes.length} bytes, with options and without`)
}

const ownFile = async ({ config, dataDir }: Exam, file: string): Promise<Buffer | undefined> => {
  try {
    return await readFile(join(await bootFolder(config.bootFiles, dataDir), file))
  } catch {
    return undefined
  }
}

/** Undefined where it came to no end. */
const readPlain = async ({ address, port }: Place, file: string, signal: AbortSignal): Promise<Buffer | undefined> => {
  const client = tftp2(address, port)
  const parts: Array<Buffer> = []
  let bytes = 0
  const { promise: late, resolve } = Promise.withResolvers<false>()
  const timer = setTimeout(() => resolve(false), limits.doctorTftpMillisMax)
  signal.addEventListener("abort", () => resolve(false), { once: true })
  try {
    const take = (part: Buffer) => {
      bytes += part.length
      if (bytes > limits.doctorTftpBytesMax) resolve(false)
      else parts.push(part)
    }
    const whole = client
      .read(file, take, () => {})
      .then(
        () => true,
        () => false,
      )
    return (await Promise.race([whole, late])) ? Buffer.concat(parts) : undefined
  } finally {
    clearTimeout(timer)
    client.close()
  }
}
