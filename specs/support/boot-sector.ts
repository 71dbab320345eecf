/**
 * A disk that a PC with BIOS boots in a second: its first sector reads a counter from sector 2, says it as a letter on the serial port, writes it back one
 * higher, and ends the machine.
 *
 *     BOOTED A TIMES BEFORE
 *
 * **Details** Read and written with INT 13h AH=42h and 43h (EDD), so that what the firmware or iPXE offers as a disk is what is tried. The machine ends by
 * a byte to port F4h (QEMU's `isa-debug-exit,iobase=0xf4,iosize=4`), with status 33. A disk error is said as `DISK ERROR`. Assembled from:
 *
 *     start: cli; xor ax,ax; mov ds,ax; mov es,ax; mov ss,ax; mov sp,7C00h; sti; mov [drive],dl
 *            mov ah,42h; call disk; mov si,msg; call say; mov al,[7E00h]; add al,'A'; mov dx,3F8h; out dx,al
 *            inc byte [7E00h]; mov ax,4300h; call disk; mov si,tail; call say
 *     off:   mov dx,F4h; mov al,10h; out dx,al; hlt; jmp off
 *     disk:  mov dl,[drive]; mov si,dap; int 13h; jc bad; ret
 *     bad:   mov si,err; call say; jmp off
 *     say:   lodsb; test al,al; jz end; mov dx,3F8h; out dx,al; jmp say; end: ret
 *     dap:   16, 0, 1 sector, 0000:7E00h, LBA 2
 */
import { truncateSync, writeFileSync } from "node:fs"

const code = Buffer.from(
  [
    "fa31c08ed88ec08ed0bc007cfb88165e7cb442e82800be707ce83600a0007e04",
    "41baf803eefe06007eb80043e80f00be7a7ce81d00baf400b010eef4ebf78a16",
    "5e7cbe607ccd137201c3be8a7ce80200ebe3ac84c07406baf803eeebf5c30090",
    "10000100007e000002000000000000000d0a424f4f54454420002054494d4553",
    "204245464f52450d0a000d0a4449534b204552524f520d0a",
  ].join(""),
  "hex",
)

/** Status of QEMU when the boot sector has ended it: (10h << 1) | 1. */
export const ENDED_STATUS = 33

/** Makes the image, which boots on BIOS: sparse, and large enough that iPXE finds a whole cylinder in it. */
export const bootableImage = (path: string): void => {
  const sector = Buffer.alloc(512)
  code.copy(sector)
  sector.writeUInt16LE(0xaa55, 510)
  writeFileSync(path, sector)
  truncateSync(path, 64 * 2 ** 20)
}

/** How often the disk was booted before, as the machine said it each time. The firmware's console may still be writing meanwhile. */
export const bootsSaid = (serial: string): ReadonlyArray<number> =>
  Array.from(serial.matchAll(/BOOTED [^A-J]*([A-J])/g), ([, letter]) => letter!.charCodeAt(0) - 65)
