/**
 * Text requests of a running session: SendTargets, and keys that may be said again (RFC 7143 §11.10, §11.11, appendix C).
 *
 * **Details** A long answer leaves in parts as long as the initiator takes, each but the last with the C bit, and the initiator fetches the
 * next with the tag of the one before. One exchange at a time; a request with another tag begins anew.
 */
import { readU32 } from "../../core/bytes.ts"
import { type Agreed, declareAgain } from "./keys.ts"
import { CONTINUE, FINAL, NO_TAG, REJECT_PROTOCOL_ERROR } from "./pdu.ts"
import type { Sender } from "./sender.ts"
import { encodeText, type Pair, parseText, TextGatherer } from "./text.ts"

export interface Target {
  readonly name: string
  readonly addresses: ReadonlyArray<string>
}

export class TextExchange {
  private readonly sender: Sender
  private readonly agreed: Agreed
  private readonly discovery: boolean
  private readonly targetName: string
  private readonly targets: () => ReadonlyArray<Target>
  private readonly gatherer = new TextGatherer()
  /** What is still to be sent, and the tag that fetches it. */
  private rest: Uint8Array | undefined
  private tag = 0

  constructor(
    sender: Sender,
    agreed: Agreed,
    discovery: boolean,
    targetName: string,
    targets: () => ReadonlyArray<Target>,
  ) {
    this.sender = sender
    this.agreed = agreed
    this.discovery = discovery
    this.targetName = targetName
    this.targets = targets
  }

  request(head: Uint8Array, h: number, data: Uint8Array): void {
    const itt = readU32(head, h + 16)
    const ttt = readU32(head, h + 20)
    const flags = head[h + 1]!
    if (ttt !== NO_TAG && ttt === this.tag && this.rest !== undefined) {
      this.send(itt)
      return
    }
    const final = (flags & FINAL) !== 0
    const goesOn = (flags & CONTINUE) !== 0
    if ((ttt !== NO_TAG && ttt !== this.tag) || (final && goesOn) || !this.gatherer.add(data)) {
      this.gatherer.take()
      this.sender.reject(REJECT_PROTOCOL_ERROR, head, h)
      return
    }
    if (goesOn) {
      this.sender.text(itt, ++this.tag, 0, new Uint8Array(0))
      return
    }
    const pairs = parseText(this.gatherer.take())
    if (pairs === undefined) {
      this.sender.reject(REJECT_PROTOCOL_ERROR, head, h)
      return
    }
    this.rest = encodeText(pairs.flatMap((pair) => this.answer(pair)))
    this.send(itt)
  }

  private send(itt: number): void {
    const rest = this.rest!
    const bytes = Math.min(rest.length, this.agreed.sendSegmentBytesMax)
    const last = bytes === rest.length
    this.rest = last ? undefined : rest.subarray(bytes)
    if (last) this.sender.text(itt, NO_TAG, FINAL, rest)
    else this.sender.text(itt, ++this.tag, CONTINUE, rest.subarray(0, bytes))
  }

  private answer([key, value]: Pair): ReadonlyArray<Pair> {
    if (key === "SendTargets") return this.sendTargets(value)
    return declareAgain([key, value], this.agreed)
  }

  /** Appendix C: all of them on a discovery session; on a normal one, its own. */
  private sendTargets(value: string): ReadonlyArray<Pair> {
    const listed = this.targets()
    const own = (name: string) => listed.filter((t) => t.name.toLowerCase() === name.toLowerCase())
    if (this.discovery)
      return value === "All" ? describe(listed) : value === "" ? [["SendTargets", "Reject"]] : describe(own(value))
    if (value === "" || value.toLowerCase() === this.targetName.toLowerCase()) return describe(own(this.targetName))
    return [["SendTargets", "Reject"]]
  }
}

const describe = (targets: ReadonlyArray<Target>): ReadonlyArray<Pair> =>
  targets.flatMap(({ name, addresses }) => [
    ["TargetName", name] as const,
    ...addresses.map((address) => ["TargetAddress", address] as const),
  ])
