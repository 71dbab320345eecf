/** The server's log, for people and for programs. */
import { describe, expect, it } from "vitest"
import { aboutHttp, aboutIscsi, aboutNbd, aboutTftp, bootLine } from "../../adapters/compose-log.ts"
import { fail } from "../../core/errors.ts"
import type { Boot } from "../../core/runtime/boot-recorder.ts"
import { errorAbout, jsonLine, prettyLine } from "../../core/runtime/log-line.ts"

const at = Date.UTC(2026, 10, 23, 5, 1, 41, 123)

describe("a line for programs", () => {
  it("is JSON with its time, level, words and facts", () => {
    const about = { protocol: "nbd", client: "PC-001" }
    expect(jsonLine({ level: "info", text: 'opened "x"\n', about }, at)).toBe(
      '{"time":"2026-11-23T05:01:41.123Z","level":"info","msg":"opened \\"x\\"\\n","protocol":"nbd","client":"PC-001"}',
    )
  })
  it("has code, cause and fix of an error, and a fix that was only said in words", () => {
    const error = fail("ISCSI_NOT_SERVED", {})
    expect(JSON.parse(jsonLine({ level: "error", text: "x; fix: y", about: errorAbout(error) }, at))).toMatchObject({
      code: "ISCSI_NOT_SERVED",
      cause: "iSCSI is off",
      fix: "start the server with --iscsi-port 3260",
    })
    expect(JSON.parse(jsonLine({ level: "error", text: "no address is left; fix: a larger range" }, at)).fix).toBe(
      "a larger range",
    )
    expect(JSON.parse(jsonLine({ level: "info", text: "x; fix: y" }, at)).fix).toBeUndefined()
  })
})

describe("a line for people", () => {
  it("has its time and words, and draws nothing that a PC said", () => {
    expect(prettyLine({ level: "info", text: "tftp \x1b[2J\r" }, at)).toBe("2026-11-23T05:01:41.123Z tftp ?[2J?")
    expect(prettyLine({ level: "error", text: "x" }, at)).toBe("\x1b[31m2026-11-23T05:01:41.123Z x\x1b[0m")
  })
})

const boot = {
  ...{
    client: { id: "1", name: "PC-001", mac: "52:54:00:00:00:01" },
    slot: 0,
    boot: "abc",
    image: { id: "2", name: "win11" },
  },
  ...{ version: 3, overlay: "discard", generation: 7, protocol: "iscsi", address: "10.0.0.11", firmware: "UEFI x64" },
  stages: [
    { name: "offer", millis: 0 },
    { name: "tftp", millis: 3000 },
    { name: "first read", millis: 8250 },
  ],
  nextBoot: false,
} as Boot

describe("a boot", () => {
  it("is one line with its stages, each as long as it took, and as times since the first", () => {
    const line = bootLine(boot)
    expect(line.text).toBe(
      "boot PC-001 win11@3 discard 10.0.0.11 iscsi UEFI x64: 8.3 s (offer 0 ms, tftp 3.0 s, first read 5.3 s)",
    )
    expect(line.about).toEqual({
      ...{ protocol: "iscsi", client: "PC-001", mac: "52:54:00:00:00:01", address: "10.0.0.11", image: "win11" },
      ...{ version: 3, firmware: "UEFI x64", boot: "abc", stages: { offer: 0, tftp: 3000, "first read": 8250 } },
    })
    expect(bootLine({ ...boot, firmware: null, stages: [] }).text).toBe("boot PC-001 win11@3 discard 10.0.0.11 iscsi -")
  })
})

describe("what a line is about", () => {
  it("is the client where its protocol says it", () => {
    const nbd = { connection: 1, peer: "10.0.0.1" }
    expect(aboutNbd({ ...nbd, type: "opened", export: "client/PC-001/0", description: "" }).client).toBe("PC-001")
    expect(aboutNbd({ ...nbd, type: "opened", export: "image/win11", description: "" })).toEqual({
      protocol: "nbd",
      address: "10.0.0.1",
    })
    expect(aboutNbd({ ...nbd, type: "refused", export: "x", code: "EXPORT_DENIED", message: "" }).code).toBe(
      "EXPORT_DENIED",
    )
    expect(aboutHttp({ type: "sent", client: "::ffff:10.0.0.1", what: "", bytes: 1 }).address).toBe("10.0.0.1")
    expect(aboutTftp({ type: "done", client: "10.0.0.1:2070", file: "x", sizeBytes: 1 }).address).toBe("10.0.0.1")
  })
  it("never has the half of a boot id that opens a disk", () => {
    const [name, key] = ["a".repeat(24), "b".repeat(24)]
    const target = `iqn.2026-11.io.imagelink:pc-001:${name}${key}`
    const about = aboutIscsi({ connection: 1, peer: "10.0.0.1", type: "closed", target, why: "" })
    expect(about).toEqual({ protocol: "iscsi", address: "10.0.0.1", client: "pc-001", boot: name })
  })
})
