/**
 * One iSCSI connection: a socket, its login, the leases it earns, and its session.
 *
 *     login (bounded in time and PDUs) ─► admission ─► session ─► leases released, socket closed
 *
 * **Details** While a login is being judged the socket is not read. Leases are released exactly once, after the last request in flight has come
 * to its end. Losing the disk (`onRevoked`) and stopping the server both ask the initiator to log out (RFC 7143 §11.9, event 1) and
 * close the connection after a while, with or without its consent.
 */
import type { Socket } from "node:net"
import type { Peer } from "../../core/block/lease.ts"
import { limits } from "../../core/limits.ts"
import { ScsiNexus } from "../scsi/nexus.ts"
import { Intake } from "../socket/intake.ts"
import { isGone, peerOf } from "../socket/peer.ts"
import type { ReceiveBuffers } from "../socket/receive.ts"
import { Timers } from "../socket/timers.ts"
import { socketWire } from "../socket/wire.ts"
import { ours } from "./admission.ts"
import { defaults } from "./keys.ts"
import type { Wanted } from "./login.ts"
import { LoginPhase } from "./login-phase.ts"
import * as pdu from "./pdu.ts"
import type { Happening, IscsiEvent, Member, Portal } from "./portal.ts"
import { portalAddress } from "./portal-address.ts"
import { PduReader, type PduReceiver } from "./reader.ts"
import type { Refusals } from "./refusals.ts"
import { seat } from "./seating.ts"
import { IscsiSession } from "./session.ts"
import type { SessionUnits } from "./session-units.ts"

export interface ConnectionInput {
  readonly id: number
  readonly socket: Socket
  readonly portal: Portal
  readonly refusals: Refusals
  readonly buffers: ReceiveBuffers
  readonly loginSeconds: number
  readonly closeSeconds: number
  readonly refusalDelaySeconds: number
  readonly report: (event: IscsiEvent) => void
  /** Called once, when the socket is closed and the leases released. */
  readonly closed: () => void
}

export class Connection implements PduReceiver, Member {
  private readonly input: ConnectionInput
  private readonly socket: Socket
  private readonly peer: Peer
  private readonly reader: PduReader
  private readonly entry: LoginPhase
  private readonly intake: Intake
  private judging = false
  private session: IscsiSession | undefined
  private wanted: Wanted | undefined
  private units: SessionUnits | undefined
  private wakeScheduled = false
  private why: string | undefined
  private socketClosed = false
  private stopping = false
  private over = false
  private readonly timers = new Timers()
  /** Nothing of it has an effect any more. */
  private readonly finished = Promise.withResolvers<void>()

  constructor(input: ConnectionInput) {
    this.input = input
    this.socket = input.buffers.attach(input.socket, (chunk) => this.received(chunk))
    this.peer = peerOf(this.socket.remoteAddress, "iscsi")
    this.reader = new PduReader(this, input.portal.slabs, limits.iscsiSegmentBytesMax, input.portal.partial)
    this.intake = new Intake({
      socket: this.socket,
      take: (chunk) => this.reader.feed(chunk, 0, chunk.length),
      mayTake: () => this.mayTake(),
    })
    this.entry = new LoginPhase({
      policy: input.portal.policy,
      refusals: input.refusals,
      peer: this.peer.address,
      refusalDelaySeconds: input.refusalDelaySeconds,
      write: (bytes) => void this.socket.write(bytes),
      close: (why) => this.close(why),
      destroy: () => void this.socket.destroy(),
      after: (millis, act) => this.timers.after(millis, act),
      report: (event) => this.report(event),
      admit: (wanted) => this.judge(wanted),
    })
    this.report({ type: "connected" })
    this.socket.on("drain", () => this.goOn())
    this.socket.on("end", () => this.close("the initiator closed its side"))
    this.socket.on("error", (e) => this.failed(e))
    this.socket.on("close", () => this.lost())
    this.timers.after(input.loginSeconds * 1000, () => {
      if (this.session === undefined) this.close("the login took too long")
    })
  }

  get target(): string {
    return this.session?.nexus.targetName ?? ""
  }

  /** Asks the initiator to log out, then closes; by force when that takes too long. */
  stop(why: string): void {
    if (this.stopping) return
    this.stopping = true
    this.why ??= why
    const { session } = this
    if (session === undefined) {
      this.socket.destroy()
      return
    }
    session.sender.asyncMessage(pdu.ASYNC_LOGOUT, 0, 0, this.input.closeSeconds)
    session.out.rest()
    this.timers.after(this.input.closeSeconds * 1000, () => this.close(why))
  }

  /** Another login took this one's place, or its target was reset. */
  leave(why: string): Promise<void> {
    this.why ??= why
    this.session?.end(why)
    this.socket.destroy()
    return this.finished.promise
  }

  part(why: string): void {
    this.close(why)
  }

  /** Called every so often: a quiet initiator is asked for a sign of life. */
  tick(): void {
    const { session } = this
    if (session === undefined || this.stopping || this.why !== undefined) return
    if (session.life.tick()) {
      session.out.rest()
      return
    }
    this.why = "the initiator gives no sign of life"
    this.socket.destroy()
  }

  /** Whether the initiator shows from now on that it is there. */
  private async ask(signal: AbortSignal): Promise<boolean> {
    const { session } = this
    if (session === undefined) return false
    const answer = session.life.ask(signal)
    session.out.rest()
    return answer
  }

  /** What is linked may have changed. */
  look(slotsOf: ReturnType<Portal["listing"]>): void {
    const target = this.wanted?.target
    if (target !== undefined && this.why === undefined) this.units?.look(slotsOf(target.client, this.peer))
  }

  mayTake(): boolean {
    return !this.judging && !this.entry.delaying && (this.session === undefined || this.session.mayTake())
  }

  pdu(head: Uint8Array, h: number, data: Uint8Array, d: number, bytes: number): void {
    if (this.session !== undefined) this.session.pdu(head, h, data, d, bytes)
    else this.entry.pdu(head, h, data.subarray(d, d + bytes))
  }

  lostSync(why: string): void {
    this.why ??= why
    this.socket.destroy()
  }

  badData(head: Uint8Array, h: number): void {
    this.session?.badData(head, h)
  }

  private received(chunk: Uint8Array): void {
    if (this.session !== undefined) this.session.life.heard = true
    if (this.why !== undefined && !this.stopping) return
    try {
      this.intake.receive(chunk)
      this.session?.out.rest()
    } catch (e) {
      this.broken(e)
    }
  }

  /** Sends what was gathered meanwhile, and takes up what had to wait. */
  private goOn(): void {
    try {
      this.session?.out.rest()
      if (this.why === undefined || this.stopping) this.intake.goOn()
      this.session?.out.rest()
    } catch (e) {
      this.broken(e)
    }
  }

  /** Replies that settle in one turn leave in one write. */
  private readonly wake = (): void => {
    if (this.wakeScheduled) return
    this.wakeScheduled = true
    queueMicrotask(() => {
      this.wakeScheduled = false
      this.goOn()
    })
  }

  /** While it is being judged whether a login is admitted, nothing more is taken. */
  private judge(wanted: Wanted): void {
    this.judging = true
    void this.admit(wanted)
      .catch((e) => {
        this.failed(ours(e))
        this.socket.destroy()
      })
      .finally(() => {
        this.judging = false
        this.maybeOver()
      })
  }

  /** Opens what was asked for, and begins the session. */
  private async admit(wanted: Wanted): Promise<void> {
    const { portal } = this.input
    if (wanted.tsih !== 0) {
      // MC/S is not done: MaxConnections=1 is what was negotiated.
      this.entry.refuse(pdu.LOGIN_TOO_MANY_CONNECTIONS, "a second connection of a session is not supported")
      return
    }
    if (wanted.discovery) {
      this.begin(wanted, new ScsiNexus(wanted.targetText?.toLowerCase() ?? "", wanted.initiator))
      this.report({ type: "discovery", initiator: wanted.initiator })
      return
    }
    const seated = await seat({
      ...{ portal, wanted, member: this },
      gone: () => this.socketClosed || this.stopping,
      units: {
        peer: { ...this.peer, initiator: wanted.initiator },
        abortTasks: (lun) => void this.session?.tasks.abortWhere((t) => t.lun === lun),
        changed: () => this.session?.tasks.seeUnits(),
        lost: (why) => this.stop(why),
        ask: (signal) => this.ask(signal),
        failed: (e) => this.failed(e),
        report: (event) => this.report(event),
        after: (millis, act) => this.timers.after(millis, act),
      },
    })
    if (seated.kind === "refused") this.entry.refuse(seated.status, seated.error.message, seated.error.code)
    if (seated.kind !== "seated") return
    this.units = seated.units
    this.begin(wanted, seated.nexus)
    for (const happening of seated.happenings) this.report(happening)
    seated.units.begin(seated.nexus)
  }

  private begin(wanted: Wanted, nexus: ScsiNexus): void {
    const { portal } = this.input
    const { socket, peer } = this
    this.wanted = wanted
    socket.write(this.entry.login.accept(portal.nextHandle()))
    const agreed = wanted.agreed ?? defaults()
    this.session = new IscsiSession({
      wire: socketWire(socket),
      slabs: portal.slabs,
      budget: portal.budget,
      agreed,
      nexus,
      discovery: wanted.discovery,
      cid: wanted.cid,
      statSN: this.entry.login.statSN,
      expCmdSN: this.entry.login.expCmdSN,
      targets: () => portal.targets(peer, portalAddress(socket.localAddress, socket.localPort)),
      resetTarget: (cold) => portal.resetTarget(nexus, cold),
      wake: this.wake,
      over: (why) => this.close(why),
    })
    this.reader.useDigests(agreed.headerDigest, agreed.dataDigest)
    this.judging = false
    this.wake()
  }

  /** A mistake of ours costs the connection it happened on, not the others. */
  private broken(e: unknown): void {
    this.failed(e instanceof Error ? e : new Error(String(e)))
    this.socket.destroy()
  }

  private failed(e: NodeJS.ErrnoException): void {
    if (isGone(e)) {
      this.why ??= "the initiator is off, or out of reach"
      return
    }
    this.why ??= e.message
    this.report({ type: "error", message: e.message })
  }

  /** Closes after what was written has left, and not later than `closeSeconds`. */
  private close(why: string): void {
    const first = this.why === undefined || this.stopping
    this.why ??= why
    if (!first) return
    this.reader.stop()
    this.session?.end(why)
    this.session?.out.rest()
    this.socket.end()
    this.intake.resume()
    this.timers.after(this.input.closeSeconds * 1000, () => this.socket.destroy())
  }

  private lost(): void {
    this.socketClosed = true
    this.timers.end()
    this.why ??= "the connection was lost"
    this.reader.stop()
    this.intake.drop()
    this.session?.out.discard()
    this.session?.end(this.why)
    this.maybeOver()
  }

  /** The leases go with the session; the connection is over when the socket is closed as well. */
  private maybeOver(): void {
    if (!this.socketClosed || this.over || this.judging) return
    this.over = true
    void this.finish()
  }

  private async leaveUnits(): Promise<void> {
    if (this.wanted !== undefined && this.session !== undefined && !this.wanted.discovery)
      this.input.portal.leave(this.wanted, this, this.session.nexus)
    await this.units?.release()
  }

  private async finish(): Promise<void> {
    await this.session?.quiet()
    await this.leaveUnits()
    const target = this.session?.nexus.targetName
    this.report({ type: "closed", ...(target ? { target } : {}), why: this.why ?? "the connection was closed" })
    this.finished.resolve()
    this.input.closed()
  }

  private report(event: Happening): void {
    this.input.report({ connection: this.input.id, peer: this.peer.address, ...event } as IscsiEvent)
  }
}
