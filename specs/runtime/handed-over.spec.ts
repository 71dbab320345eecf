/** What sd_listen_fds(3) hands over: read from the environment, taken by port, and nothing is left. */
import { closeSync, openSync } from "node:fs"
import { afterEach, describe, expect, it } from "vitest"
import { isImagelinkError } from "../../core/errors.ts"
import { bindDatagram } from "../../core/runtime/datagram-socket.ts"
import { HandedSockets, handedOver, openHandedOver } from "../../core/runtime/handed-over.ts"

describe("the environment", () => {
  it.each([
    ["nothing", {}, []],
    ["one without a name", { LISTEN_PID: "7", LISTEN_FDS: "1" }, [{ fd: 3, name: "unknown" }]],
    [
      "two with names",
      { LISTEN_PID: "7", LISTEN_FDS: "2", LISTEN_FDNAMES: "dhcp:tftp" },
      [
        { fd: 3, name: "dhcp" },
        { fd: 4, name: "tftp" },
      ],
    ],
    ["those of another process", { LISTEN_PID: "8", LISTEN_FDS: "1" }, []],
    ["none", { LISTEN_PID: "7", LISTEN_FDS: "0" }, []],
    ["a count that is no number", { LISTEN_PID: "7", LISTEN_FDS: "x" }, []],
    ["a count below none", { LISTEN_PID: "7", LISTEN_FDS: "-1" }, []],
  ])("hands over %s", (_, env, expected) => expect(handedOver(env, 7)).toEqual(expected))

  it("hands over 64 at most", () => {
    expect(handedOver({ LISTEN_PID: "7", LISTEN_FDS: "65" }, 7)).toHaveLength(64)
  })
})

const why = async (run: () => unknown): Promise<string> => {
  try {
    await run()
    return ""
  } catch (e) {
    return isImagelinkError(e) ? `${e.code}: ${e.reason}` : String(e)
  }
}

describe("sockets", () => {
  let handed = new HandedSockets()
  afterEach(() => handed.close())
  const bound = async () => {
    const socket = await bindDatagram({ protocol: "tftp", address: "127.0.0.1", port: 0 })
    return { fd: 3, name: "tftp", socket, port: socket.address().port }
  }

  it("are taken by their port, once", async () => {
    const [one, two] = [await bound(), await bound()]
    handed = new HandedSockets([one, two])
    expect(handed.take(two.port).map(({ socket }) => socket)).toEqual([two.socket])
    expect([handed.take(two.port), handed.take(one.port, 0)]).toEqual([[], []])
    expect(handed.take(one.port, 1)).toHaveLength(1)
    handed.done()
    one.socket.close()
    two.socket.close()
  })

  it("that nothing is served on are refused", async () => {
    const one = await bound()
    handed = new HandedSockets([one])
    expect(await why(() => handed.done())).toBe(
      `CONFIG_INVALID: tftp (descriptor 3): nothing is served over UDP at 127.0.0.1:${one.port}`,
    )
  })

  it("that are files are refused", async () => {
    const fd = openSync("/dev/null", "r")
    try {
      expect(await why(() => openHandedOver([{ fd, name: "imagelink.socket" }]))).toContain(
        `CONFIG_INVALID: imagelink.socket (descriptor ${fd}): it is no UDP socket`,
      )
    } finally {
      closeSync(fd)
    }
  })
})
