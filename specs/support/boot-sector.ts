/**
 * A disk that a PC with BIOS boots in a second: its first sector says of every disk that the firmware offers how often it was booted before.
 *
 *     win11 BOOTED A TIMES BEFORE
 *     games BOOTED A TIMES BEFORE
 *
 * Sector 2 of each disk holds what it is about: 1 byte counter, which is read, said as a letter, and written back one higher; 1 byte `W` where the program
 * shall write on; the disk's label. Then the machine ends, or it writes sectors 64, 65, … for ever, one at a time, reads sector 64 back after each, and says `.`
 * for each: `DISK LOST` where its first write is not there any more.
 *
 * **Details** Read and written with INT 13h AH=42h and 43h (EDD), so that what the firmware or iPXE offers as a disk is what is tried. The machine ends by
 * a byte to port F4h (QEMU's `isa-debug-exit,iobase=0xf4,iosize=4`), with status 33. A disk error is said as `DISK ERROR`. Assembled from:
 *
 *     start: cli; xor ax,ax; mov ds,ax; mov es,ax; mov ss,ax; mov sp,7C00h; sti; cld; mov dl,80h
 *     next:  mov [drive],dl; mov word [lba],2; mov ah,42h; call disk; mov si,7E02h; call say; mov si,msg; call say
 *            mov al,[7E00h]; add al,'A'; call put; inc byte [7E00h]; mov ax,4300h; call disk; mov si,tail; call say
 *            cmp byte [7E01h],'W'; je write
 *            mov dl,[drive]; inc dl; mov al,dl; sub al,80h; cmp al,[475h]; jb next       BIOS data area: how many disks there are
 *     off:   mov dx,F4h; mov al,10h; out dx,al; hlt; jmp off
 *     write: mov di,0
 *     again: lea ax,[di+64]; mov [lba],ax; mov [7E00h],di; mov word [7E02h],"KE"; mov ax,4300h; call disk
 *            mov word [lba],64; mov ah,42h; call disk; mov si,lost; cmp word [7E02h],"KE"; jne end
 *            mov al,'.'; call put; inc di; and di,7FFFh; jmp again
 *     disk:  mov dl,[drive]; mov si,dap; int 13h; mov si,err; jc end; ret
 *     end:   call say; jmp off
 *     put:   mov dx,3F8h; out dx,al; ret
 *     say:   lodsb; test al,al; jz done; call put; jmp say; done: ret
 *     dap:   16, 0, 1 sector, 0000:7E00h, lba
 */
import { closeSync, openSync, truncateSync, writeFileSync, writeSync } from "node:fs"

const code = Buffer.from(
  [
    "fa31c08ed88ec08ed0bc007cfbfcb2808816c27cc706cc7c0200b442e87f00be",
    "027ee89200bed47ce88c00a0007e0441e87f00fe06007eb80043e86100bedd7c",
    "e87400803e017e5774198a16c27cfec288d02c803a06750472b6baf400b010ee",
    "f4ebf7bf00008d4540a3cc7c893e007ec706027e4b45b80043e82200c706cc7c",
    "4000b442e81700befc7c813e027e4b45751bb02ee81b004781e7ff7febc88a16",
    "c27cbec47ccd13beed7c7201c3e80700eba8baf803eec3ac84c07405e8f3ffeb",
    "f6c3009010000100007e0000000000000000000020424f4f5445442000205449",
    "4d4553204245464f52450d0a000d0a4449534b204552524f520d0a000d0a4449",
    "534b204c4f53540d0a00",
  ].join(""),
  "hex",
)

/** Status of QEMU when the boot sector has ended it: (10h << 1) | 1. */
export const ENDED_STATUS = 33

/** What sector 2 of a disk says. */
export interface CountedDisk {
  readonly label: string
  /** Whether the boot sector writes on for ever. */
  readonly writes?: boolean
}

/** Makes a disk of nothing but the counter: sparse, and large enough that iPXE finds a whole cylinder in it. */
export const countedDisk = (path: string, { label, writes = false }: CountedDisk): void => {
  writeFileSync(path, "")
  truncateSync(path, 64 * 2 ** 20)
  patch(path, 2 * 512, Buffer.from(`\0${writes ? "W" : "E"}${label}\0`, "latin1"))
}

/** The same, and it boots on BIOS. */
export const bootableImage = (path: string, about: CountedDisk = { label: "disk" }): void => {
  countedDisk(path, about)
  patch(path, 0, code)
  patch(path, 510, Uint8Array.of(0x55, 0xaa))
}

/** Writes bytes over a part of a file. */
export const patch = (path: string, at: number, bytes: Uint8Array): void => {
  const file = openSync(path, "r+")
  writeSync(file, bytes, 0, bytes.length, at)
  closeSync(file)
}

/** How often the first disk was booted before, as the machine said it each time. The firmware's console may still be writing meanwhile. */
export const bootsSaid = (serial: string, label = ""): ReadonlyArray<number> =>
  Array.from(
    serial.matchAll(new RegExp(`${label} BOOTED [^A-J]*([A-J])`, "g")),
    ([, letter]) => letter!.charCodeAt(0) - 65,
  )
