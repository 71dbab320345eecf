/** Every operational key by its rule (RFC 7143 §13), at its bounds. */
import { describe, expect, it } from "vitest"
import { declareAgain, defaults, negotiate } from "../../adapters/iscsi/keys.ts"
import { parseTargetName } from "../../adapters/iscsi/names.ts"
import { parseBinary, parseNumber, parseText } from "../../adapters/iscsi/text.ts"

const said = (key: string, value: string) => {
  const agreed = defaults()
  return { answer: negotiate([[key, value]], agreed, new Set())?.[0]?.[1], agreed }
}

describe("a key", () => {
  it.each([
    ["HeaderDigest", "None,CRC32C", "None"],
    ["HeaderDigest", "CRC32C,None", "CRC32C"],
    ["HeaderDigest", "CRC64", "Reject"],
    ["DataDigest", "X-com.example.sum,CRC32C", "CRC32C"],
    ["MaxConnections", "8", "1"],
    ["MaxConnections", "0", "Reject"],
    ["MaxConnections", "65536", "Reject"],
    ["InitialR2T", "Yes", "Yes"],
    ["InitialR2T", "No", "No"],
    ["InitialR2T", "yes", "Reject"],
    ["ImmediateData", "No", "No"],
    ["ImmediateData", "Yes", "Yes"],
    ["MaxBurstLength", "512", "512"],
    ["MaxBurstLength", "511", "Reject"],
    ["MaxBurstLength", "16777215", "16776704"],
    ["MaxBurstLength", "16777216", "Reject"],
    ["MaxBurstLength", "0x40000", "262144"],
    ["FirstBurstLength", "16777215", "262144"],
    ["DefaultTime2Wait", "2", "2"],
    ["DefaultTime2Wait", "3601", "Reject"],
    ["DefaultTime2Retain", "20", "0"],
    ["MaxOutstandingR2T", "1", "1"],
    ["MaxOutstandingR2T", "65535", "8"],
    ["DataPDUInOrder", "No", "No"],
    ["DataSequenceInOrder", "Yes", "Yes"],
    ["ErrorRecoveryLevel", "2", "0"],
    ["ErrorRecoveryLevel", "3", "Reject"],
    ["TaskReporting", "FastAbort,RFC3720", "RFC3720"],
    ["iSCSIProtocolLevel", "1", "1"],
    ["IFMarker", "Yes", "No"],
    ["OFMarker", "No", "No"],
    ["IFMarkInt", "1~65535", "Reject"],
    ["X-com.example.fast", "1", "NotUnderstood"],
    ["initialR2T", "Yes", "NotUnderstood"],
    ["MaxRecvDataSegmentLength", "511", "Reject"],
    ["OFMarkInt", "2048", "Reject"],
    ["iSCSIProtocolLevel", "31", "2"],
    ["iSCSIProtocolLevel", "32", "Reject"],
    ["SendTargets", "All", "Reject"],
    ["TargetAlias", "mine", "Reject"],
    ["TargetAddress", "10.0.0.1:3260,1", "Reject"],
    ["TargetPortalGroupTag", "1", "Reject"],
    ["InitiatorAlias", "a PC", undefined],
    ["X#NodeArchitecture", "Linux,6.1", undefined],
  ])("%s=%s is answered %s", (key, value, answer) => {
    expect(said(key, value).answer).toBe(answer)
  })

  it("that is declared is taken and not answered", () => {
    const { answer, agreed } = said("MaxRecvDataSegmentLength", "16777215")
    expect(answer).toBeUndefined()
    expect(agreed.sendSegmentBytesMax).toBe(16_777_215)
  })

  it("that is rejected keeps its default", () => {
    expect(said("InitialR2T", "Maybe").agreed).toEqual(defaults())
  })

  it("that comes twice is a protocol error", () => {
    const agreed = defaults()
    const seen = new Set<string>()
    expect(negotiate([["ImmediateData", "No"]], agreed, seen)).toEqual([["ImmediateData", "No"]])
    expect(negotiate([["ImmediateData", "Yes"]], agreed, seen)).toBeUndefined()
  })

  it("for the first burst never exceeds the burst", () => {
    const agreed = defaults()
    const answers = negotiate(
      [
        ["FirstBurstLength", "65536"],
        ["MaxBurstLength", "4096"],
      ],
      agreed,
      new Set(),
    )
    expect(answers).toEqual([
      ["FirstBurstLength", "4096"],
      ["MaxBurstLength", "4096"],
    ])
  })
})

describe("a key that is said while the session runs", () => {
  it.each([
    ["MaxRecvDataSegmentLength", "65536", []],
    ["MaxRecvDataSegmentLength", "0", [["MaxRecvDataSegmentLength", "Reject"]]],
    ["InitiatorAlias", "a PC", []],
    ["MaxBurstLength", "65536", [["MaxBurstLength", "Reject"]]],
    ["InitiatorName", "iqn.2026-11.test:b", [["InitiatorName", "Reject"]]],
    ["AuthMethod", "None", [["AuthMethod", "Reject"]]],
    ["Colour", "blue", [["Colour", "NotUnderstood"]]],
  ])("%s=%s is answered %j", (key, value, answer) => {
    const agreed = defaults()
    expect(declareAgain([key, value], agreed)).toEqual(answer)
    const sendSegmentBytesMax = value === "65536" && answer.length === 0 ? 65_536 : 8192
    expect(agreed).toEqual({ ...defaults(), sendSegmentBytesMax })
  })
})

describe("a target's name", () => {
  it.each([
    ["iqn.2026-11.io.imagelink:pc-001", { client: "pc-001", boot: undefined }],
    ["IQN.2026-11.IO.Imagelink:PC-001", { client: "pc-001", boot: undefined }],
    ["iqn.2026-11.io.imagelink:pc-001:aB3_x-9.z", { client: "pc-001", boot: "aB3_x-9.z" }],
    ["iqn.2026-11.io.imagelink:pc-001:", undefined],
    ["iqn.2026-11.io.imagelink:pc-001:a:b", undefined],
    ["iqn.2026-11.io.imagelink:-pc", undefined],
    ["iqn.2026-11.io.imagelink:", undefined],
    ["iqn.2026-11.io.imagelink", undefined],
    [`iqn.2026-11.io.imagelink:${"a".repeat(63)}`, { client: "a".repeat(63), boot: undefined }],
    [`iqn.2026-11.io.imagelink:${"a".repeat(64)}`, undefined],
    [`iqn.2026-11.io.imagelink:pc:${"b".repeat(195)}`, { client: "pc", boot: "b".repeat(195) }],
    [`iqn.2026-11.io.imagelink:pc:${"b".repeat(196)}`, undefined],
  ])("%s", (name, parsed) => {
    expect(parseTargetName(name)).toEqual(parsed)
  })
})

describe("text", () => {
  it("is pairs, each ended by a NUL; missing and extra NULs do no harm", () => {
    expect(parseText(Buffer.from("A=1\0B=a=b\0"))).toEqual([
      ["A", "1"],
      ["B", "a=b"],
    ])
    expect(parseText(Buffer.from("A=\0\0\0"))).toEqual([["A", ""]])
    expect(parseText(Buffer.from("A=1"))).toEqual([["A", "1"]])
    expect(parseText(Buffer.alloc(0))).toEqual([])
  })

  it.each([["=1"], ["A"], ["A B=1"], [`${"k".repeat(64)}=1`]])("%j is none", (text) => {
    expect(parseText(Buffer.from(text))).toBeUndefined()
  })

  it("has numbers in decimal and hex, and binary in hex and base64", () => {
    expect([parseNumber("10"), parseNumber("0x10"), parseNumber("0X1f"), parseNumber("1e3"), parseNumber("")]).toEqual([
      10,
      16,
      31,
      undefined,
      undefined,
    ])
    expect(parseBinary("0x0aFF")).toEqual(Buffer.from([0x0a, 0xff]))
    expect(parseBinary("0xabc")).toEqual(Buffer.from([0x0a, 0xbc]))
    expect(parseBinary("0bCv8=")).toEqual(Buffer.from([0x0a, 0xff]))
    expect(parseBinary("abc")).toBeUndefined()
  })
})
