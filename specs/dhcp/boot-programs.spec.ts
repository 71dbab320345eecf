/** Which boot program each kind of firmware is given: boards that are not PCs, what an operator says, and signed programs. */
import { describe, expect, it } from "vitest"
import { type BootProgramRow, bootProgramFor } from "../../adapters/dhcp/boot-programs.ts"
import { firmwareOf } from "../../adapters/dhcp/firmware.ts"
import { OPTION, text, u16 } from "../../adapters/dhcp/options.ts"
import { reply } from "../../adapters/dhcp/reply.ts"
import { secureBootRows } from "../../adapters/dhcp/secure-boot.ts"
import { firmwareRows } from "../../adapters/dhcp/settings.ts"
import { MAC, message, plan, type Sent, sends, shown } from "./support/messages.ts"

type Options = NonNullable<Sent["options"]>

const program = (options: Options, extra: ReadonlyArray<BootProgramRow> = [], mac = MAC, product?: string) =>
  bootProgramFor(firmwareOf(message({ options })), { mac, product }, extra)?.program
const offered = (options: Options, mac = MAC) => shown(reply(message({ options, mac }), { ...plan, mac })!.message)

const uBoot = (vendorClass: string, ...more: Options): Options => [[OPTION.vendorClass, text(vendorClass)], ...more]
const architecture = (n: number) => [OPTION.architecture, u16(n)] as const

describe("a board", () => {
  it("by Raspberry Pi finds its menu in option 43, or it takes no notice (Intel PXE 2.1 §3)", () => {
    const told = offered(sends.biosRom, "dc:a6:32:00:00:01")
    expect([told.siaddr, told.file]).toEqual(["10.0.0.1", "bootcode.bin"])
    expect(Buffer.from(told.options[43]!, "hex").toString("latin1")).toBe(
      "\x06\x01\x03\x0a\x04\0PXE\x09\x14\0\0\x11Raspberry Pi Boot\xff",
    )
    // The same maker's computers with UEFI are computers with UEFI.
    expect(
      program([architecture(11), [OPTION.vendorClass, text("PXEClient:Arch:00011")]], [], "dc:a6:32:00:00:01"),
    ).toBe("arm64/snponly.efi")
  })
  it("with U-Boot is told file and server, and nothing of PXE", () => {
    const { siaddr, file, options } = offered(uBoot("U-Boot.armv8", architecture(22)))
    expect([siaddr, file, options[43], options[60]]).toEqual(["10.0.0.1", "arm64/snponly.efi", undefined, undefined])
  })
  it.each([
    [uBoot("U-Boot.armv8"), "arm64/snponly.efi"],
    [uBoot("U-Boot.armv7"), "arm32/snponly.efi"],
    [uBoot("U-Boot.arm", architecture(21)), "arm32/snponly.efi"],
    [uBoot("U-Boot.riscv", architecture(27)), "riscv64/snponly.efi"],
    [uBoot("U-Boot"), undefined],
  ])("%# with U-Boot boots what fits its processor", (options, expected) => {
    expect(program(options)).toBe(expected)
  })
})

describe("an operator's row", () => {
  const uuid = "12345678-1234-1234-1234-1234567890ab"
  it.each([
    [{ mac: "52-54-00" }, true],
    [{ mac: "52:54:01" }, false],
    [{ "vendor-class": "PXEClient:Arch:00007:UNDI:003000" }, true],
    [{ "vendor-class": "PXEClient:Arch:00007:UNDI:003016" }, false],
    [{ machine: uuid.slice(0, 8).toUpperCase() }, true],
    [{ machine: "ffff" }, false],
    [{ architecture: 7 }, true],
    [{ architecture: 0 }, false],
    [{ mac: "52-54-00", architecture: 0 }, false],
  ])("%j: whether it is for this machine with UEFI: %s", (row, fits) => {
    const rows = firmwareRows([{ program: "ipxe.efi", ...row }])
    expect(program(sends.uefiPxe, rows)).toBe(fits ? "ipxe.efi" : "snponly.efi")
  })
  it("goes by a MAC of one to six bytes, and by a UUID only where one is sent", () => {
    for (const mac of ["52", MAC]) expect(program(sends.uefiPxe, firmwareRows([{ program: "a", mac }]))).toBe("a")
    const without = sends.uefiPxe.filter(([code]) => code !== OPTION.machineId)
    expect(program(without, firmwareRows([{ program: "a", machine: "1" }]))).toBe("snponly.efi")
  })
  it("goes by the beginning of the model that SMBIOS names, once that is known", () => {
    const rows = firmwareRows([{ program: "a", product: "20HD" }])
    const models = ["20HDA000", "20HD", "20H", "x20HD", undefined]
    expect(models.map((product) => program(sends.uefiPxe, rows, MAC, product))).toEqual([
      ...["a", "a", "snponly.efi", "snponly.efi", "snponly.efi"],
    ])
  })
  it("is refused where it is for everybody, or for no MAC", () => {
    expect(() => firmwareRows([{ program: "ipxe.efi" }])).toThrow("cannot be used")
    for (const mac of ["", "5", "52-5", "52540", "52-54-00-00-00-01-02", "gg"])
      expect(() => firmwareRows([{ program: "a", mac }]), mac).toThrow("cannot be used")
  })
  it("of several that fit is the first", () => {
    const rows = firmwareRows([
      { program: "one", architecture: 7 },
      { program: "two", mac: "52" },
    ])
    expect([program(sends.uefiPxe, rows), program(sends.biosRom, rows)]).toEqual(["one", "two"])
  })
})

describe("signed programs", () => {
  const rows = (...files: ReadonlyArray<string>) => secureBootRows((name) => files.includes(name))
  const both = (folder: string) => [`${folder}/snponly-shim.efi`, `${folder}/snponly.efi`]
  it("go first on UEFI where the shim and what it loads are there, and only there", () => {
    const there = rows(...both("x86_64-sb"))
    expect(program(sends.uefiPxe, there)).toBe("x86_64-sb/snponly-shim.efi")
    expect(program(sends.uefiHttp, there)).toBe("x86_64-sb/snponly-shim.efi")
    expect(program(sends.biosRom, there)).toBe("undionly.kpxe")
    expect(program(uBoot("U-Boot.armv8", architecture(22)), rows(...both("arm64-sb")))).toBe("arm64/snponly.efi")
  })
  it("are found where the whole archive was unpacked, and not by half", () => {
    expect(program(sends.uefiPxe, rows(...both("ipxeboot/x86_64-sb")))).toBe("ipxeboot/x86_64-sb/snponly-shim.efi")
    expect(rows("x86_64-sb/snponly-shim.efi", "ipxeboot/x86_64-sb/snponly.efi")).toEqual([])
    expect(rows("x86_64-sb/snponly.efi")).toEqual([])
  })
})
