/**
 * A disk that a PC with UEFI boots: an EFI system partition with one program, which does what the boot sector does (boot-sector.ts).
 *
 *     win11 BOOTED A TIMES BEFORE
 *
 * **Details** The program asks every whole disk through EFI_BLOCK_IO_PROTOCOL (UEFI 2.10 §13.9), so that what the firmware, or iPXE in its place, offers as a disk is
 * what is tried. It speaks to the serial port itself. Its data lies one page behind its code. Assembled from:
 *
 *     start: push rbx, rbp, rsi, rdi, r12, r13; sub rsp,48h; mov rbx,[rdx+60h]                                      boot services
 *            LocateHandleBuffer(ByProtocol, guid, NULL, &count, &handles); jnz bad; xor ebp,ebp
 *     next:  cmp rbp,[count]; jae off; HandleProtocol(handles[rbp++], guid, &blockio); jnz next
 *            mov r12,[blockio]; mov rdi,[r12+8]                                                                     its medium
 *            next unless byte [rdi+5] (present), not byte [rdi+6] (a partition), dword [rdi+12] = 512 (bytes in a block)
 *            mov r13,[r12+24]; call disk; say label; say msg; mov al,[buffer]; add al,'A'; out 3F8h,al
 *            inc byte [buffer]; mov r13,[r12+32]; call disk; say tail; jmp next
 *     off:   mov dx,F4h; mov al,10h; out dx,al; hlt; jmp off
 *     disk:  r13 (ReadBlocks, WriteBlocks)(r12, [rdi], 2, 512, buffer); jnz bad; ret
 *     bad:   say err; jmp off
 */
import { execFileSync } from "node:child_process"
import { truncateSync, writeFileSync } from "node:fs"
import { type CountedDisk, countedDisk, patch } from "./boot-sector.ts"
import { type Requirement, requires } from "./requires.ts"

const code = Buffer.from(
  [
    "53555657415441554883ec48488b5a60b902000000488d151f0100004531c04c",
    "8d0dda0f0000488d05db0f00004889442420ff93380100004885c00f85df0000",
    "0031ed483b2db60f00000f8398000000488b05b10f0000488b0ce848ffc5488d",
    "15d60000004c8d05a40f0000ff93980000004885c075cc4c8b25920f0000498b",
    "7c2408807f050074ba807f060075b4817f0c0002000075ab4d8b6c2418e85000",
    "0000488d3559110000e880000000488d3596000000e8740000008a0540110000",
    "044166baf803eefe05331100004d8b6c2420e81b000000488d3576000000e84b",
    "000000e95bffffff66baf400b010eef4ebf64883ec384c89e18b1741b8020000",
    "0041b900020000488d05f2100000488944242041ffd54883c4384885c07501c3",
    "488d353d000000e802000000ebba66baf803ac84c07403eeebf8c3215b4e9659",
    "64d2118e3900a0c969723b20424f4f54454420002054494d4553204245464f52",
    "450d0a000d0a4449534b204552524f520d0a00",
  ].join(""),
  "hex",
)

export const requiresEfi = (spec: string): ReadonlyArray<Requirement> => [
  requires("mkfs.vfat", "dosfstools", spec),
  requires("mcopy", "mtools", spec),
]

const PAGE = 0x1000
const FILE_ALIGNMENT = 0x200

/** Microsoft PE Format, "Optional Header": PE32+, an EFI application that may lie anywhere. */
const peHeaders = (): Buffer => {
  const header = Buffer.alloc(FILE_ALIGNMENT)
  header.write("MZ", 0, "latin1")
  header.writeUInt32LE(0x40, 0x3c)
  header.write("PE", 0x40, "latin1")
  header.writeUInt16LE(0x8664, 0x44) // x64
  header.writeUInt16LE(2, 0x46) // sections
  header.writeUInt16LE(0xf0, 0x54) // bytes of the optional header
  header.writeUInt16LE(0x22, 0x56) // executable, large addresses
  const optional = 0x58
  header.writeUInt16LE(0x20b, optional)
  header.writeUInt32LE(FILE_ALIGNMENT, optional + 4) // bytes of code
  header.writeUInt32LE(PAGE, optional + 16) // where it begins
  header.writeUInt32LE(PAGE, optional + 20)
  header.writeUInt32LE(PAGE, optional + 32)
  header.writeUInt32LE(FILE_ALIGNMENT, optional + 36)
  header.writeUInt32LE(3 * PAGE, optional + 56)
  header.writeUInt32LE(FILE_ALIGNMENT, optional + 60)
  header.writeUInt16LE(10, optional + 68) // EFI application
  header.writeUInt32LE(16, optional + 108) // data directories, all empty
  section(header, 0x148, ".text", { at: PAGE, bytes: FILE_ALIGNMENT, from: FILE_ALIGNMENT, flags: 0x60000020 })
  section(header, 0x170, ".data", { at: 2 * PAGE, bytes: 0, from: 0, flags: 0xc0000080 })
  return header
}

interface Section {
  readonly at: number
  readonly bytes: number
  readonly from: number
  readonly flags: number
}

const section = (header: Buffer, to: number, name: string, { at, bytes, from, flags }: Section): void => {
  header.write(name, to, "latin1")
  header.writeUInt32LE(PAGE, to + 8)
  header.writeUInt32LE(at, to + 12)
  header.writeUInt32LE(bytes, to + 16)
  header.writeUInt32LE(from, to + 20)
  header.writeUInt32LE(flags, to + 36)
}

const PARTITION_SECTOR = 2048

/** The disk's first sector: one partition of type EFh (UEFI 2.10 §5.2.2). */
const partitionTable = (sectors: number): Buffer => {
  const sector = Buffer.alloc(66)
  sector[4] = 0xef
  sector.writeUInt32LE(PARTITION_SECTOR, 8)
  sector.writeUInt32LE(sectors, 12)
  sector.writeUInt16LE(0xaa55, 64)
  return sector
}

/** Makes the image, which boots on UEFI: `\EFI\BOOT\BOOTX64.EFI`, or where else the program shall lie. */
export const efiImage = (path: string, about: CountedDisk, program = "EFI/BOOT/BOOTX64.EFI"): void => {
  countedDisk(path, about)
  const sectors = 32 * 2048
  patch(path, 446, partitionTable(sectors))
  const volume = `${path}@@${PARTITION_SECTOR * 512}`
  run("mkfs.vfat", "--offset", `${PARTITION_SECTOR}`, "-F", "16", path, `${sectors / 2}`)
  const folders = program.split("/").slice(0, -1)
  for (const depth of folders.keys()) run("mmd", "-i", volume, `::${folders.slice(0, depth + 1).join("/")}`)
  const file = `${path}.efi`
  writeFileSync(file, Buffer.concat([peHeaders(), code]))
  truncateSync(file, 2 * FILE_ALIGNMENT)
  run("mcopy", "-i", volume, file, `::${program}`)
}

const run = (tool: string, ...args: ReadonlyArray<string>): void => {
  execFileSync(tool, args, {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
  })
}
