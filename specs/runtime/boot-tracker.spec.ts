/** Every PC from its first sign of life to its first read: which stages count for which boot, where it stands, and that it is bounded. */
import { describe, expect, it } from "vitest"
import { limits } from "../../core/limits.ts"
import type { Boot } from "../../core/runtime/boot-recorder.ts"
import type { BootSign } from "../../core/runtime/boot-signs.ts"
import { makeBootTracker } from "../../core/runtime/boot-tracker.ts"
import { boot as bootOf } from "../support/versions.ts"

const MAC = "52:54:00:00:00:01"
const AT = "10.0.0.11"
const client = { id: "one", name: "PC-001", mac: MAC }
const uefi = "UEFI x64 (PXEClient:Arch:00007:UNDI:003016)"

const offer = (by: "firmware" | "ipxe" = "firmware", more: Partial<Extract<BootSign, { type: "offered" }>> = {}) =>
  ({ type: "offered", mac: MAC, address: AT, by, discover: true, firmware: uefi, ...more }) as const
const ack = (by: "firmware" | "ipxe" = "firmware") => offer(by, { discover: false })
const fetching = { type: "fetching", address: AT, over: "tftp" } as const
const fetched = { type: "fetched", address: AT, over: "tftp" } as const
const script = (boot: string | undefined, more: Partial<Extract<BootSign, { type: "script" }>> = {}) =>
  ({ type: "script", mac: MAC, address: AT, own: true, plan: "disk", boot, problem: undefined, ...more }) as const

/** A tracker whose clock goes by the seconds that are let pass. */
const tracking = (registered: (mac: string) => boolean = (mac) => mac === MAC) => {
  let now = 1_000_000
  const recorded: Array<Boot> = []
  const timers = new Set<{ readonly at: number; readonly run: () => void }>()
  const tracker = makeBootTracker({
    now: () => now,
    later: (run, millis) => {
      const timer = { at: now + millis, run }
      timers.add(timer)
      return () => void timers.delete(timer)
    },
    record: (boot) => void recorded.push(boot),
    nameOf: (mac) => (registered(mac) ? "PC-001" : undefined),
    macAt: () => undefined,
  })
  const pass = (seconds: number) => {
    now += seconds * 1000
    for (const timer of [...timers].filter(({ at }) => at <= now)) {
      timers.delete(timer)
      timer.run()
    }
  }
  const say = (...signs: ReadonlyArray<BootSign>) => {
    for (const sign of signs) tracker.take(sign)
  }
  const login = (boot: string | null, address = AT) => {
    tracker.began({ ...bootOf(1), client, boot, address })
    return tracker.joined(client, address)
  }
  const last = () => {
    const { firmware, stages } = recorded.at(-1)!
    return [firmware, ...stages.map(({ name, millis }) => `${name} ${millis}`)]
  }
  /** A boot up to its script. */
  const arrive = (boot: string) => {
    say(offer(), ack())
    pass(1)
    say(fetching)
    pass(2)
    say(fetched)
    pass(3)
    say(offer("ipxe"), ack("ipxe"))
    pass(1)
    say(script(boot))
    pass(1)
  }
  const where = () => tracker.list().map(({ state, since, stuck }) => [state, now - since, stuck])
  return { tracker, recorded, pass, say, login, last, arrive, where }
}

describe("a boot's stages", () => {
  it("go with its model, which is remembered for its next boot, where the computer itself said it", () => {
    const { tracker, say, arrive, login, recorded } = tracking()
    const model = { manufacturer: "LENOVO", product: "20HDA000" }
    say(script(undefined, { model, own: false, address: "10.0.0.99" }))
    expect(tracker.modelOf(MAC)).toBeUndefined()
    arrive("a")
    say(script("b", { model }), script("c", { model }))
    expect(tracker.modelOf(MAC)).toEqual(model)
    login("c").firstRead!()
    expect(recorded.at(-1)?.firmware).toMatch(/^[^,]*, LENOVO 20HDA000$/u)
  })

  it("are recorded at its first read, counted from its first sign of life", () => {
    const { arrive, login, pass, last, recorded } = tracking()
    arrive("a")
    const { firstRead } = login("a")
    expect(recorded).toEqual([])
    pass(0.25)
    firstRead!()
    expect(last()).toEqual([uefi, "offer 0", "tftp 3000", "ipxe 6000", "script 7000", "login 8000", "first read 8250"])
    expect(recorded).toHaveLength(1)
  })

  it("go without a first read that does not come, after five seconds and not before", () => {
    const { arrive, login, pass, last, recorded, where } = tracking()
    arrive("a")
    const { firstRead } = login("a")
    pass(4.999)
    expect(recorded).toEqual([])
    pass(0.001)
    expect(last().at(-1)).toBe("login 8000")
    expect(where()).toEqual([["login", 5000, null]])
    firstRead!()
    expect(recorded).toHaveLength(1)
    expect(where()).toEqual([["running", 0, null]])
  })

  it("go without it when the next boot begins, or the server stops", () => {
    const { arrive, login, recorded, tracker } = tracking()
    arrive("a")
    login("a")
    arrive("b")
    login("b")
    expect(recorded.map(({ boot }) => boot)).toEqual(["a"])
    tracker.close()
    tracker.close()
    expect(recorded.map(({ boot }) => boot)).toEqual(["a", "b"])
  })

  it("are those of the boot id that is shown, not of the script that was fetched last", () => {
    const { say, pass, login, last } = tracking()
    say(offer("ipxe"))
    pass(1)
    say(script("a"))
    pass(1)
    say(script("b"))
    pass(1)
    login("a").firstRead!()
    expect(last()).toEqual([uefi, "offer 0", "script 1000", "login 3000", "first read 3000"])
    pass(1)
    login("b").firstRead!()
    expect(last()).toEqual([uefi, "offer 0", "script 2000", "login 4000", "first read 4000"])
  })

  it("are none but the disk's own when the boot id was given out before the server started", () => {
    const { login, last } = tracking()
    login("a").firstRead!()
    expect(last()).toEqual([null, "login 0", "first read 0"])
  })

  it("count for one boot, whatever the next one leaves out", () => {
    const { arrive, login, pass, say, last } = tracking()
    arrive("a")
    login("a").firstRead!()
    pass(1)
    say(script("b"))
    login("b").firstRead!()
    expect(last()).toEqual([null, "script 0", "login 0", "first read 0"])
  })

  it("of a boot that came to nothing do not count for the next: not after its script, its program, or a minute's silence", () => {
    for (const before of [[fetched, script("a")], [fetched], [fetching], []] as ReadonlyArray<
      ReadonlyArray<BootSign>
    >) {
      const { say, pass, arrive, login, last } = tracking()
      say(offer(), ...before)
      pass(before.length === 0 ? limits.bootSilenceSecondsMax + 1 : 1)
      arrive("b")
      login("b").firstRead!()
      expect(last().slice(1, 3)).toEqual(["offer 0", "tftp 3000"])
    }
  })

  it("begin with the first of the offers that a PC asks for again", () => {
    const { say, pass, arrive, login, last } = tracking()
    say(offer())
    pass(4)
    say(offer())
    pass(limits.bootSilenceSecondsMax)
    arrive("a")
    login("a").firstRead!()
    expect(last().slice(1, 3)).toEqual(["offer 0", "tftp 67000"])
  })

  it("hold a program that took longer than a silence may, by TFTP or by HTTP", () => {
    for (const over of ["tftp", "http"] as const) {
      const { say, pass, login, last } = tracking()
      say(offer(), { ...fetching, over })
      pass(300)
      say({ ...fetched, over }, offer("ipxe"), script("a"))
      login("a").firstRead!()
      expect(last().slice(1, 3)).toEqual(["offer 0", `${over} 300000`])
    }
  })

  it("hold a program whose end was heard of late: after iPXE asked for an address, or for its script", () => {
    for (const late of [1, 2]) {
      const { say, pass, login, last } = tracking()
      const after = [offer("ipxe"), script("a")]
      say(offer(), fetching)
      for (const sign of [...after.slice(0, late), fetched, fetched, ...after.slice(late)]) {
        pass(1)
        say(sign)
      }
      login("a").firstRead!()
      expect(last().slice(1, 4)).toEqual(["offer 0", "tftp 1000", "ipxe 1000"])
      expect(
        last()
          .slice(4)
          .map((stage) => stage!.split(" ")[0]),
      ).toEqual(["script", "login", "first"])
    }
  })

  it("do not hold what iPXE fetches for itself", () => {
    const { say, pass, login, last } = tracking()
    say(offer("ipxe"), script("a"))
    pass(1)
    say(fetching, fetched)
    login("a").firstRead!()
    expect(last()).toEqual([uefi, "offer 0", "script 0", "login 1000", "first read 1000"])
  })

  it("hold the last script and the menu before it, however long somebody thought", () => {
    const { say, pass, login, last } = tracking()
    say(offer("ipxe"), script(undefined, { plan: "menu" }))
    pass(1800)
    say(script("a"))
    login("a").firstRead!()
    expect(last().slice(1)).toEqual(["offer 0", "menu 0", "script 1800000", "login 1800000", "first read 1800000"])
  })

  it("hold a script that was fetched from where DHCP sent the PC, also on the server's own machine", () => {
    const { say, pass, login, last } = tracking()
    say(offer("ipxe", { address: "127.77.0.10" }))
    pass(1)
    say(script("a", { own: false, address: "127.77.0.10" }))
    login("a").firstRead!()
    expect(last().slice(1, 3)).toEqual(["offer 0", "script 1000"])
  })

  it("hold a program that went to an address of another DHCP server, which the PC said it takes", () => {
    const { say, pass, login, last, tracker } = tracking()
    say(offer("firmware", { address: undefined }), { type: "located", mac: MAC, address: "10.0.0.77" })
    pass(1)
    say({ ...fetched, address: "10.0.0.77" }, script("a", { address: "10.0.0.77" }))
    expect(tracker.list()[0]!.address).toBe("10.0.0.77")
    login("a", "10.0.0.77").firstRead!()
    expect(last().slice(1, 3)).toEqual(["offer 0", "tftp 1000"])
  })

  it("know a PC without a boot id by its address", () => {
    const { say, pass, login, last } = tracking()
    say(offer(), fetched)
    pass(2)
    login(null, "10.0.0.99").firstRead!()
    expect(last()).toEqual([null, "login 0", "first read 0"])
    login(null).firstRead!()
    expect(last()).toEqual([uefi, "offer 0", "tftp 0", "login 2000", "first read 2000"])
    login(null).firstRead!()
    expect(last()).toEqual([null, "login 0", "first read 0"])
  })

  it("are not changed by a script that somebody else looks at", () => {
    const { say, pass, arrive, login, last } = tracking()
    arrive("a")
    say(script("b", { own: false, address: "127.0.0.1" }))
    pass(1)
    login("a").firstRead!()
    expect(last().slice(-3)).toEqual(["script 7000", "login 9000", "first read 9000"])
    login("b").firstRead!()
    expect(last()).toEqual([null, "script 0", "login 1000", "first read 1000"])
  })
})

describe("where a PC stands", () => {
  it("is told at each stage, and since when", () => {
    const { say, pass, login, where, tracker } = tracking()
    expect(where()).toEqual([])
    say(offer())
    pass(1)
    expect(where()).toEqual([["dhcp", 1000, null]])
    say(fetching)
    expect(where()).toEqual([["tftp", 0, null]])
    say(fetched, offer("ipxe"), script("a"))
    pass(1)
    expect(where()).toEqual([["script", 1000, null]])
    const session = login("a")
    expect(where()).toEqual([["login", 0, null]])
    session.firstRead!()
    pass(10)
    expect(where()).toEqual([["running", 10_000, null]])
    expect(tracker.list()[0]).toMatchObject({ client: "PC-001", mac: MAC, address: AT, firmware: uefi })
    session.left()
    session.left()
    expect(where()).toEqual([["off", 0, null]])
  })

  it("is running until the last of its sessions has ended", () => {
    const { arrive, login, where, tracker } = tracking()
    arrive("a")
    const first = login("a")
    first.firstRead!()
    const second = tracker.joined(client, AT)
    expect(second.firstRead).toBeUndefined()
    first.left()
    expect(where()).toEqual([["running", 0, null]])
    second.left()
    expect(where()).toEqual([["off", 0, null]])
  })

  it("is running after the server was started again, from when its session came back", () => {
    const { tracker, pass, where } = tracking()
    tracker.joined(client, AT)
    pass(7)
    expect(where()).toEqual([["running", 7000, null]])
    expect(tracker.list()[0]!.address).toBe(AT)
  })

  it("is dhcp when it was reset while its old session is open, and running when only its system fetches a script", () => {
    const { arrive, login, say, pass, where } = tracking()
    arrive("a")
    login("a").firstRead!()
    say(script("b"))
    pass(1)
    expect(where()).toEqual([["running", 1000, null]])
    say(offer())
    expect(where()).toEqual([["dhcp", 0, null]])
    pass(limits.bootSilenceSecondsMax + 1)
    expect(where()[0]![0]).toBe("running")
  })

  it.each([
    ["it asks for an address and is offered none", [{ type: "problem", mac: MAC, text: "no address is left" }]],
    ["it was offered an address, and fetches no boot program", [offer()]],
    ["it was offered an address, and asks for no script", [offer("ipxe")]],
    ["its boot program is not sent to the end", [offer(), fetching]],
    ["it has its boot program, which does not ask for an address", [offer(), fetching, fetched]],
    ["its boot program was offered an address, and asks for no script", [offer(), fetching, fetched, offer("ipxe")]],
    ["it has its script, and does not log in at its disk", [offer("ipxe"), script("a")]],
  ] as ReadonlyArray<[string, ReadonlyArray<BootSign>]>)("is stuck after half a minute: %s", (text, signs) => {
    const { say, pass, tracker } = tracking()
    say(...signs)
    pass(limits.bootStuckSeconds - 0.001)
    expect(tracker.list()[0]!.stuck).toBeNull()
    pass(0.001)
    expect(tracker.list()[0]!.stuck).toBe(text)
    pass(limits.bootForgottenSeconds)
    expect(tracker.list()).toEqual([])
  })

  it("is stuck when it asks for the same again and again, or has its disk and reads nothing", () => {
    const { say, pass, login, tracker } = tracking()
    for (let i = 0; i < 4; i++) {
      say(script("a", { boot: `a${i}` }))
      pass(10)
    }
    expect(tracker.list()[0]!.stuck).toBe("it has its script, and does not log in at its disk")
    login("a3")
    pass(30)
    expect(tracker.list()[0]!.stuck).toBe("it has its disk, and reads nothing")
  })

  it("is not stuck while somebody chooses, or when it was sent to its own disk", () => {
    for (const plan of ["menu", "local"] as const) {
      const { say, pass, where } = tracking()
      say(offer("ipxe"), script(undefined, { plan }))
      pass(599)
      expect(where()).toEqual([[plan, 599_000, null]])
    }
  })

  it("has what went wrong, until the boot after it", () => {
    const { say, tracker, arrive, login } = tracking()
    const error = () => tracker.list()[0]!.error?.text
    say(offer(), { type: "problem", address: AT, text: "there is no such file" })
    expect(error()).toBe("there is no such file")
    say(fetching)
    expect(error()).toBe("there is no such file")
    say(fetched)
    expect(error()).toBeUndefined()
    say(script(undefined, { plan: "refused", problem: "gone [IMAGE_FILE_NOT_FOUND]" }))
    expect(error()).toBe("gone [IMAGE_FILE_NOT_FOUND]")
    say(script("a"))
    expect(error()).toBeUndefined()
    say({ type: "problem", mac: MAC, text: "again" }, offer())
    expect(error()).toBeUndefined()
    say({ type: "problem", mac: MAC, text: "again" })
    arrive("b")
    login("b")
    expect(error()).toBeUndefined()
  })

  it("is nothing when nobody knows the address that a file went to", () => {
    const { say, tracker } = tracking()
    say(fetching, fetched, { type: "problem", address: AT, text: "?" })
    expect(tracker.list()).toEqual([])
  })
})

describe("what is remembered", () => {
  const stranger = (n: number) =>
    `02:00:00:00:${(n >> 8).toString(16).padStart(2, "0")}:${(n & 255).toString(16).padStart(2, "0")}`

  it("of strangers is bounded, and pushes no registered client out", () => {
    const { say, tracker } = tracking()
    say(offer())
    for (let n = 0; n <= limits.bootStrangersFollowedMax; n++)
      say(offer("firmware", { mac: stranger(n), address: undefined }))
    const macs = tracker.list().map(({ mac }) => mac)
    expect(macs).toHaveLength(limits.bootStrangersFollowedMax + 1)
    expect(macs).toContain(MAC)
    expect(macs).not.toContain(stranger(0))
    expect(macs).toContain(stranger(1))
    expect(tracker.list().find(({ mac }) => mac === stranger(1))!.client).toBeNull()
  })

  it("of a stranger goes with it when it is registered", () => {
    const known = new Set<string>()
    const { say, tracker, login, last } = tracking((mac) => known.has(mac))
    say(offer(), script(undefined, { plan: "unregistered", problem: "nobody registered it" }))
    expect(tracker.list()).toMatchObject([{ client: null, error: { text: "nobody registered it" } }])
    known.add(MAC)
    say(script("a"))
    expect(tracker.list()).toMatchObject([{ client: "PC-001", error: null }])
    login("a").firstRead!()
    expect(last().slice(1, 3)).toEqual(["offer 0", "script 0"])
  })

  it("of boot ids is the last four", () => {
    const { say, login, last } = tracking()
    for (const boot of ["a", "b", "c", "d", "e"]) say(script(boot))
    login("a").firstRead!()
    expect(last()).toEqual([null, "login 0", "first read 0"])
    login("b").firstRead!()
    expect(last()).toEqual([null, "script 0", "login 0", "first read 0"])
  })
})
