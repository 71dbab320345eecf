/**
 * A small iSCSI initiator: one session, commands in flight up to the target's window (RFC 7143, the initiator's side).
 *
 *     const disk = await connectIscsi({ host, port, target: "iqn.2026-11.io.imagelink:pc-001" })
 *     await disk.write(4096, bytes); await disk.flush(); await disk.logout()
 *
 * **When to use** In the demo, doctor, benches and specs: it shows every field a spec may want to look at, and can be made to misbehave.
 *
 * **Details** Immediate data and R2T; unsolicited Data-Out only when asked for. Not done: recovery, several connections, reading more than one R2T
 * ahead of the other.
 */
import { readU32, readU64, writeU32, writeU64 } from "../../core/bytes.ts"
import { limits } from "../../core/limits.ts"
import { IscsiError } from "./client-login.ts"
import type { CommandResult, IscsiClientOptions, ScsiRequest } from "./client-options.ts"
import { InitiatorSession } from "./client-session.ts"
import * as pdu from "./pdu.ts"
import { encodeText, type Pair, parseText } from "./text.ts"

export { IscsiError } from "./client-login.ts"
export type { CommandResult, IscsiClientOptions, Received, ScsiRequest } from "./client-options.ts"

/** Logs in. @throws IscsiError */
export const connectIscsi = async (options: IscsiClientOptions): Promise<IscsiClient> => {
  const client = new IscsiClient(options)
  await client.begin()
  return client
}

/** The targets a server lists, with their addresses. @throws IscsiError */
export const discoverIscsi = async (
  host: string,
  port: number,
  what = "All",
): Promise<ReadonlyArray<{ name: string; addresses: ReadonlyArray<string> }>> => {
  const client = await connectIscsi({ host, port })
  const pairs = await client.text([["SendTargets", what]])
  await client.logout()
  const found: Array<{ name: string; addresses: Array<string> }> = []
  for (const [key, value] of pairs) {
    if (key === "TargetName") found.push({ name: value, addresses: [] })
    else if (key === "TargetAddress") found.at(-1)?.addresses.push(value)
  }
  return found
}

export class IscsiClient extends InitiatorSession {
  /** Disk size, by READ CAPACITY(16). */
  async sizeBytes(): Promise<number> {
    const { data } = await this.good({ cdb: [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32], reads: 32 })
    return (readU64(data, 0) + 1) * readU32(data, 8)
  }

  /** `into` may be a place of that length for the bytes. */
  async read(offset: number, length: number, into?: Buffer): Promise<Buffer> {
    const place = into === undefined ? {} : { into }
    const { data } = await this.good({ cdb: blockCdb(0x88, offset, length), reads: length, ...place })
    return data
  }
  async write(offset: number, bytes: Uint8Array, fua = false): Promise<void> {
    await this.good({ cdb: blockCdb(0x8a, offset, bytes.length, fua ? 0x08 : 0), writes: bytes })
  }
  async flush(): Promise<void> {
    await this.good({ cdb: blockCdb(0x91, 0, 0) })
  }

  /** A command that must succeed; unit attentions are taken note of and it is sent again. @throws IscsiError */
  async good(request: ScsiRequest): Promise<CommandResult> {
    for (let tries = 0; ; tries++) {
      const r = await this.command(request)
      if (r.status === 0) return r
      const attention = r.sense !== undefined && (r.sense[r.sense[0]! >= 0x72 ? 1 : 2]! & 0x0f) === 6
      if (!attention || tries === limits.scsiAttentionsMax)
        throw new IscsiError(`status ${r.status.toString(16)}, sense ${r.sense?.toString("hex") ?? "none"}`)
    }
  }

  async text(pairs: ReadonlyArray<Pair>): Promise<ReadonlyArray<Pair>> {
    const parts: Array<Buffer> = []
    let ttt = pdu.NO_TAG
    for (let text: Buffer = encodeText(pairs); ; text = Buffer.alloc(0)) {
      const tag = ttt
      const r = await this.request(pdu.TEXT, pdu.FINAL, text, (b) => writeU32(b, 20, tag))
      parts.push(r.data)
      ttt = readU32(r.head, 20)
      if (ttt === pdu.NO_TAG) return parseText(Buffer.concat(parts)) ?? []
    }
  }

  async nop(data: Uint8Array): Promise<Buffer> {
    return (await this.request(pdu.NOP_OUT, pdu.FINAL, data, (b) => writeU32(b, 20, pdu.NO_TAG))).data
  }

  /** Answers the response code (RFC 7143 §11.6.1). */
  async taskManagement(fn: number, lun = 0, referenced = pdu.NO_TAG, refCmdSN = 0): Promise<number> {
    const r = await this.request(
      pdu.TASK_MANAGEMENT,
      pdu.FINAL | fn,
      new Uint8Array(0),
      (b) => {
        b[9] = lun
        writeU32(b, 20, referenced)
        writeU32(b, 32, refCmdSN)
      },
      true,
    )
    return r.head[2]!
  }

  async logout(): Promise<void> {
    await this.request(pdu.LOGOUT, pdu.FINAL | pdu.LOGOUT_CLOSE_SESSION, new Uint8Array(0), () => {})
    this.socket.end()
    await this.closed
  }
}

/** A 16-byte CDB on a range of bytes of 512-byte blocks. */
export const blockCdb = (opcode: number, offset: number, length: number, flags = 0): Buffer => {
  const b = Buffer.alloc(16)
  b[0] = opcode
  b[1] = flags
  writeU64(b, 2, offset / limits.logicalBlockBytes)
  writeU32(b, 10, length / limits.logicalBlockBytes)
  return b
}
