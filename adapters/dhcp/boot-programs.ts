/**
 * Which boot program a machine is given: a table of what is known of firmware, read from the top; the first row that fits decides.
 *
 * **Details** Names are those of the `ipxe` package of distributions. `snponly` comes first for UEFI, because it uses the firmware's own network
 * driver, which works wherever the firmware just booted from; native drivers of iPXE hang or leave some cards unusable.
 * An operator's choice goes before the table: `boot-program` of a client or a group, then the `[[firmware]]` tables of imagelink.toml, then signed programs that are there
 * (secure-boot.ts).
 *
 * **Gotchas** No message of DHCP says the product that SMBIOS names: it is known of a computer that has fetched a script before (machine-model.ts). Its vendor class, MAC and
 * UUID are in its first message.
 *
 * Processor architecture types, IANA: 0 BIOS · 6 UEFI x86 · 7 UEFI x64 · 9 UEFI x64 as some firmware sends it (EBC in RFC 4578) · 10, 11 UEFI ARM 32, 64 ·
 * 15, 16, 17, 18, 19 the same over HTTP · 20 BIOS over HTTP · 21, 22 U-Boot ARM 32, 64 · 25, 27 UEFI RISC-V 32, 64.
 */
import type { Firmware, FirmwareKind } from "./firmware.ts"

export interface BootProgramRow {
  readonly kinds?: ReadonlyArray<FirmwareKind>
  readonly architectures?: ReadonlyArray<number | undefined>
  /** Beginning of option 60. */
  readonly vendorClass?: string
  /** Beginnings of the MAC, lower case with colons. */
  readonly macs?: ReadonlyArray<string>
  /** Beginnings of its UUID (option 97), lower case. */
  readonly machineIds?: ReadonlyArray<string>
  /** Beginnings of its model, as SMBIOS names it. */
  readonly products?: ReadonlyArray<string>
  readonly program: string
  /** Bytes of option 43 that this firmware insists on. */
  readonly vendorSpecific?: Uint8Array
}

const raspberryPis = ["b8:27:eb", "dc:a6:32", "e4:5f:01", "d8:3a:dd", "28:cd:c1", "2c:cf:67"]

/**
 * The boot ROM of a Raspberry Pi looks for this text in the boot menu of option 43 and ignores every other offer: sub-options 6 (discovery control),
 * 10 (menu prompt), 9 (boot menu) of Intel PXE 2.1 §3.
 */
const raspberryPiMenu = Buffer.concat([
  Uint8Array.of(6, 1, 3, 10, 4, 0),
  Buffer.from("PXE", "latin1"),
  Uint8Array.of(9, 20, 0, 0, 17),
  Buffer.from("Raspberry Pi Boot", "latin1"),
  Uint8Array.of(255),
])

const table: ReadonlyArray<BootProgramRow> = [
  { macs: raspberryPis, kinds: ["pxe"], architectures: [0], program: "bootcode.bin", vendorSpecific: raspberryPiMenu },
  { architectures: [0, 20], program: "undionly.kpxe" },
  { architectures: [7, 9, 16, 17], program: "snponly.efi" },
  { architectures: [6, 15], program: "i386/snponly.efi" },
  { architectures: [11, 19, 22], program: "arm64/snponly.efi" },
  { architectures: [10, 18, 21], program: "arm32/snponly.efi" },
  { architectures: [27, 28], program: "riscv64/snponly.efi" },
  { kinds: ["u-boot"], architectures: [undefined], vendorClass: "U-Boot.armv8", program: "arm64/snponly.efi" },
  { kinds: ["u-boot"], architectures: [undefined], vendorClass: "U-Boot.arm", program: "arm32/snponly.efi" },
  { kinds: ["pxe"], architectures: [undefined], program: "undionly.kpxe" },
]

export interface AskingMachine {
  readonly mac: string
  readonly product?: string | undefined
}

const fits = (row: BootProgramRow, firmware: Firmware, { mac, product }: AskingMachine): boolean =>
  (row.kinds?.includes(firmware.kind) ?? true) &&
  (row.architectures?.includes(firmware.architecture) ?? true) &&
  (row.vendorClass === undefined || firmware.vendorClass.startsWith(row.vendorClass)) &&
  (row.machineIds?.some((start) => firmware.machineId?.startsWith(start)) ?? true) &&
  (row.products?.some((start) => product?.startsWith(start)) ?? true) &&
  (row.macs?.some((start) => mac.startsWith(start)) ?? true)

/** The row for a machine's first boot program; undefined when there is none for it. */
export const bootProgramFor = (
  firmware: Firmware,
  machine: AskingMachine,
  extra: ReadonlyArray<BootProgramRow> = [],
): BootProgramRow | undefined => [...extra, ...table].find((row) => fits(row, firmware, machine))
