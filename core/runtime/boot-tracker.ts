/**
 * Follows every PC from its first sign of life to its first read: what ClientBooted says of a boot's stages, and where each PC stands now.
 *
 *     signs (DHCP, TFTP, HTTP, script) ─► attempt of a MAC ─► login ─► first read ─► ClientBooted with its stages
 *
 * **Details** A login is known by the boot id that it shows: it takes the attempt whose script had that boot id, so what an earlier boot left behind never
 * counts for a later one. A login without one (NBD) takes the attempt of its address. ClientBooted is recorded at the boot's first read, or when that
 * has not come in `bootFirstReadMillisMax`, or with the client's next boot; no login waits for it.
 *
 * Strangers are remembered apart from registered clients, so that a flood of made-up MACs pushes nobody out.
 */
import { limits } from "../limits.ts"
import { type Attempt, isOver, newAttempt, offered, scripted, stagesOf, transferred, withMark } from "./boot-attempt.ts"
import type { Boot } from "./boot-recorder.ts"
import type { BootSign, BootSigns, BootWatch } from "./boot-signs.ts"
import { type DiskInUse, type Followed, type LiveBoot, liveBoot } from "./live-boot.ts"
import type { MachineModel } from "./machine-model.ts"
import { RecentMap } from "./recent-map.ts"

export interface BootTracker extends BootSigns, BootWatch {
  /** Who is on its way, runs, or was seen lately. */
  list(): ReadonlyArray<LiveBoot>
  /** The model of a computer that said so when it fetched its script, since this server started. */
  modelOf(mac: string): MachineModel | undefined
  /** Records boots that wait for their first read. */
  close(): void
}

export interface BootTrackerOptions {
  /** UTC milliseconds, never going back though clocks do. */
  readonly now: () => number
  /** Calls back once, later; the answer takes it back. */
  readonly later: (run: () => void, millis: number) => () => void
  readonly record: (boot: Boot) => void
  /** The registered client with this MAC. */
  readonly nameOf: (mac: string) => string | undefined
  /** The MAC of the client for which this address is recorded. */
  readonly macAt: (address: string) => string | undefined
}

export const makeBootTracker = ({ now, later, record, nameOf, macAt }: BootTrackerOptions): BootTracker => {
  const inUse = ({ sessions }: Followed) => sessions > 0
  const clients = new RecentMap<Followed>(limits.bootsFollowedMax, inUse)
  const strangers = new RecentMap<Followed>(limits.bootStrangersFollowedMax, inUse)
  /** Where DHCP's answers and scripts went. */
  const macs = new RecentMap<string>(limits.bootsFollowedMax)
  const models = new RecentMap<MachineModel>(limits.bootsFollowedMax)
  /** Records a boot that waits for its first read as it is now; by the client's id. */
  const waiting = new Map<string, () => void>()

  const follow = (mac: string): Followed => {
    const [here, elsewhere] = nameOf(mac) === undefined ? [strangers, clients] : [clients, strangers]
    const fresh = { attempt: undefined, scripts: [], sessions: 0, disk: undefined, left: undefined, problem: undefined }
    const followed = here.get(mac) ?? elsewhere.get(mac) ?? { mac, ...fresh }
    elsewhere.delete(mac)
    here.set(mac, followed)
    return followed
  }

  const followedAt = (address: string): Followed | undefined => {
    const mac = macs.get(address) ?? macAt(address)
    return mac === undefined ? undefined : follow(mac)
  }

  const takeTransfer = (sign: Extract<BootSign, { type: "fetching" | "fetched" }>): void => {
    const followed = followedAt(sign.address)
    if (followed === undefined) return
    const { attempt: before } = followed
    followed.attempt = transferred(before, sign, now())
    // Firmware and boot programs try several names; one of them was there.
    if (sign.type === "fetched") followed.problem = undefined
    // Boot ids that were given out meanwhile have the same past.
    if (before?.boot !== undefined)
      followed.scripts = followed.scripts.map((script) => (script === before ? followed.attempt! : script))
  }

  const takeScript = (sign: Extract<BootSign, { type: "script" }>): void => {
    const at = now()
    const followed = follow(sign.mac)
    const own = sign.own || macs.get(sign.address) === sign.mac
    const attempt = scripted(own ? followed.attempt : undefined, sign, at)
    if (sign.boot !== undefined)
      followed.scripts = [...followed.scripts, attempt].slice(-limits.bootScriptsRememberedMax)
    if (!own) return
    if (sign.model !== undefined) models.set(sign.mac, sign.model)
    followed.attempt = attempt
    followed.problem = sign.problem === undefined ? undefined : { at, text: sign.problem }
    macs.set(sign.address, sign.mac)
  }

  const takeProblem = (followed: Followed | undefined, text: string): void => {
    if (followed === undefined) return
    const at = now()
    const { attempt } = followed
    followed.problem = { at, text }
    followed.attempt = attempt === undefined || isOver(attempt, at) ? newAttempt(at) : { ...attempt, at }
  }

  const take = (sign: BootSign): void => {
    switch (sign.type) {
      case "offered": {
        const followed = follow(sign.mac)
        // Whatever was wrong, it goes on from here.
        if (sign.discover) followed.problem = undefined
        followed.attempt = offered(followed.attempt, sign, now())
        if (sign.address !== undefined) macs.set(sign.address, sign.mac)
        return
      }
      case "located": {
        const followed = follow(sign.mac)
        if (followed.attempt !== undefined) followed.attempt = { ...followed.attempt, address: sign.address }
        macs.set(sign.address, sign.mac)
        return
      }
      case "fetching":
      case "fetched":
        takeTransfer(sign)
        return
      case "script":
        takeScript(sign)
        return
      case "failed":
        follow(sign.mac).problem = { at: now(), text: sign.text }
        return
      case "problem":
        takeProblem("mac" in sign ? follow(sign.mac) : followedAt(sign.address), sign.text)
    }
  }

  /** What led to a login, which it takes with it. */
  const attemptOf = (followed: Followed, boot: Boot, at: number): Attempt => {
    const { attempt, scripts } = followed
    if (boot.boot === null) {
      const mine = attempt !== undefined && attempt.address === boot.address && !isOver(attempt, at)
      if (mine) followed.attempt = undefined
      return mine ? attempt : newAttempt(at)
    }
    const which = scripts.findIndex((script) => script.boot === boot.boot)
    followed.scripts = scripts.slice(which + 1)
    if (attempt?.boot === boot.boot) followed.attempt = undefined
    return scripts[which] ?? newAttempt(at)
  }

  const began = (boot: Boot): void => {
    waiting.get(boot.client.id)?.()
    const at = now()
    const followed = follow(boot.client.mac)
    const attempt = attemptOf(followed, boot, at)
    const login = { ...attempt, marks: withMark(attempt.marks, "login", at) }
    const disk: DiskInUse = { since: at, address: boot.address, boot: login, isRead: false }
    followed.disk = disk
    followed.problem = undefined
    const tell = (): void => {
      callOff()
      waiting.delete(boot.client.id)
      const { began, marks } = disk.boot ?? login
      record({ ...boot, firmware: attempt.firmware, stages: stagesOf(began, marks) })
    }
    const callOff = later(tell, limits.bootFirstReadMillisMax)
    waiting.set(boot.client.id, tell)
  }

  /** The first read of a boot, perhaps after the boot was recorded. */
  const read = (disk: DiskInUse, clientId: string): void => {
    if (disk.isRead) return
    disk.isRead = true
    disk.since = now()
    if (disk.boot !== undefined)
      disk.boot = { ...disk.boot, marks: withMark(disk.boot.marks, "first read", disk.since) }
    waiting.get(clientId)?.()
  }

  const joined: BootWatch["joined"] = ({ id, mac }, address) => {
    const followed = follow(mac)
    // What goes on with a boot of before has read from its disk.
    if (followed.sessions++ === 0 && followed.disk?.isRead !== false)
      followed.disk = { since: now(), address, boot: followed.disk?.boot, isRead: true }
    const disk = followed.disk!
    let here = true
    return {
      firstRead: disk.isRead ? undefined : () => read(disk, id),
      left() {
        if (!here) return
        here = false
        followed.left = now()
        followed.sessions--
      },
    }
  }

  return {
    take,
    began,
    joined,
    list() {
      const at = now()
      const shown = [...clients.values(), ...strangers.values()].map((f) => liveBoot(f, nameOf(f.mac), at))
      return shown.filter((live) => live !== undefined)
    },
    modelOf: (mac) => models.get(mac),
    close() {
      for (const tell of [...waiting.values()]) tell()
    },
  }
}
