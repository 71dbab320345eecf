/** The imagelink.toml that `imagelink init` writes: the answers, each with why it is there, and what to know for the rest. */
import { stringify } from "smol-toml"
import { NBD_PORT } from "../../../core/runtime/config.ts"
import type { Answers } from "./answers.ts"

const setting = (key: string, value: string | number): string => stringify({ [key]: value }).trimEnd()
/** A setting that was not chosen, to be uncommented. */
const possible = (key: string, value: string | number): string => `# ${setting(key, value)}`

export const fileText = (answers: Answers): string => {
  const { interface: card, address, dhcp, range, bootFiles } = answers
  return `${[
    "# Settings of 'imagelink serve', whose --help says what every key does; 'imagelink config show' says what holds.",
    "",
    "# What PCs are told for their boot files and disks.",
    setting("address", address),
    card === undefined ? possible("interface", "eth1") : setting("interface", card),
    "",
    "# full: gives addresses; proxy: boots PCs beside another DHCP server; off",
    setting("dhcp", dhcp),
    "# Lent to machines without a recorded address; without it, only registered clients with one get theirs.",
    range === undefined ? possible("dhcp-range", "10.0.0.100-10.0.0.199") : setting("dhcp-range", range),
    "",
    "# Boot programs by TFTP, scripts by HTTP, disks by iSCSI and NBD. Ports 67 and 69 take CAP_NET_BIND_SERVICE.",
    setting("tftp-port", 69),
    setting("http-port", 8080),
    setting("iscsi-port", 3260),
    setting("nbd-port", NBD_PORT),
    "# Without it: boot/ in the data folder, else /usr/lib/ipxe.",
    bootFiles === undefined ? possible("boot-files", "/usr/lib/ipxe") : setting("boot-files", bootFiles),
    "",
    "# Computers that nobody registered: closed, ask for a name, or auto = take the next number.",
    setting("registration", "closed"),
  ].join("\n")}\n`
}
