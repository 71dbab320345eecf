/** Content types. UEFI HTTP Boot decides by them what it does with a file (UEFI 2.10 §24.7.3.1), and by the name only where it knows none. */

const types: Readonly<Record<string, string>> = {
  efi: "application/efi",
  iso: "application/vnd.efi-iso",
  img: "application/vnd.efi-img",
  ipxe: "text/plain; charset=utf-8",
  cfg: "text/plain; charset=utf-8",
  txt: "text/plain; charset=utf-8",
}

export const SCRIPT_TYPE = types.ipxe!

export const contentType = (name: string): string =>
  types[/\.([a-z0-9]+)$/iu.exec(name)?.[1]?.toLowerCase() ?? ""] ?? "application/octet-stream"
