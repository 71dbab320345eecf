/**
 * Signed boot programs, where the operator has put them: machines with UEFI then begin with the shim, whether they check signatures or not.
 *
 *     BOOT FILES/x86_64-sb/snponly-shim.efi   signed by Microsoft; what DHCP names
 *                          snponly.efi        signed by the iPXE project; what the shim loads
 *
 * **Details** The folders and names are those of iPXE's release archive `ipxeboot.tar.gz`, unpacked into the folder of boot files, or its folder `ipxeboot` as it is.
 * Nothing is renamed: the shim makes the name of what it loads from its own, by leaving `-shim` out. Half of a pair is as good as none.
 */
import type { BootProgramRow } from "./boot-programs.ts"

const layouts: ReadonlyArray<{ readonly folder: string; readonly architectures: ReadonlyArray<number> }> = [
  { folder: "x86_64-sb", architectures: [7, 9, 16, 17] },
  { folder: "arm64-sb", architectures: [11, 19] },
]

/** Rows for what is there. */
export const secureBootRows = (has: (name: string) => boolean): ReadonlyArray<BootProgramRow> =>
  layouts.flatMap(({ folder, architectures }) => {
    const at = [folder, `ipxeboot/${folder}`].find(
      (path) => has(`${path}/snponly-shim.efi`) && has(`${path}/snponly.efi`),
    )
    return at === undefined ? [] : [{ architectures, program: `${at}/snponly-shim.efi` }]
  })
