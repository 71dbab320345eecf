/** Clients, groups and their links. */
import { entry } from "./entry.ts"

export const clientErrors = {
  // --- Clients and links ---
  CLIENT_NOT_FOUND: entry<{ client: string; near?: string }>({
    exit: 1,
    message: (p) => `there is no client ${p.client}`,
    cause: (p) =>
      p.near ? `no client has this name or MAC; the nearest is ${p.near}` : "no client has this name or MAC",
    fix: () => "see 'imagelink client list', or add it: imagelink client add MAC --name NAME",
  }),
  SCRIPT_DENIED: entry<{ client: string; peer: string; address: string }>({
    exit: 1,
    message: (p) => `the boot script of ${p.client} is not for ${p.peer}`,
    cause: (p) => `${p.client} is recorded with the address ${p.address}, and its script opens its disk`,
    fix: (p) =>
      `where that is ${p.client} after all: imagelink client set ${p.client} --ip ${p.peer}, or --ip none for any address`,
  }),
  WAKE_FAILED: entry<{ mac: string; why: string }>({
    exit: 1,
    message: (p) => `no packet was sent to wake ${p.mac}`,
    cause: (p) => p.why,
    fix: () => "start the server with --address, an address of the interface that the PC is on",
  }),
  ISCSI_NOT_SERVED: entry<Readonly<Record<string, never>>>({
    exit: 1,
    message: () => "the server serves no disk that firmware can open",
    cause: () => "iSCSI is off",
    fix: () => "start the server with --iscsi-port 3260",
  }),
  NEXT_BOOT_REFUSED: entry<{ client: string; image: string }>({
    exit: 1,
    message: (p) => `${p.client} cannot boot ${p.image} once`,
    cause: () => "what it writes is kept, and would have to step aside for that boot",
    fix: (p) =>
      `imagelink client next-boot ${p.client} none; or link it to an image with --overlay discard for that boot`,
  }),
  CLIENT_NAME_INVALID: entry<{ name: string }>({
    exit: 1,
    message: (p) => `${JSON.stringify(p.name)} cannot be a client's name`,
    cause: () =>
      "a client's name is a DNS label: 1 to 63 letters, digits and inner hyphens, and does not read as a MAC address",
    fix: () => "choose a name like PC-001",
  }),
  CLIENT_NAME_TAKEN: entry<{ name: string; holder: string }>({
    exit: 1,
    message: (p) => `the name ${p.name} belongs to another client (${p.holder})`,
    cause: () => "names are compared without regard to upper and lower case, and each belongs to one client",
    fix: () => "choose another name",
  }),
  CLIENT_MAC_INVALID: entry<{ mac: string }>({
    exit: 1,
    message: (p) => `${JSON.stringify(p.mac)} is not a MAC address`,
    cause: () => "a MAC address is six bytes in hex, and not a group (multicast) or all-zero address",
    fix: () => "write it as 52:54:00:aa:bb:cc, 52-54-00-AA-BB-CC or 525400aabbcc",
  }),
  CLIENT_MAC_TAKEN: entry<{ mac: string; holder: string }>({
    exit: 1,
    message: (p) => `the MAC ${p.mac} belongs to ${p.holder}`,
    cause: () => "a MAC address belongs to one client",
    fix: (p) =>
      `use ${p.holder}, or check the address on the machine's label; 'imagelink client set' renames a client or gives it another MAC`,
  }),
  CLIENT_ADDRESS_INVALID: entry<{ address: string }>({
    exit: 1,
    message: (p) => `${JSON.stringify(p.address)} is not an address a client can have`,
    cause: () => "an address is IPv4 in dotted decimal, and not loopback, multicast, broadcast or 0.x",
    fix: () => "write it as 192.168.10.21",
  }),
  CLIENT_ADDRESS_TAKEN: entry<{ address: string; holder: string }>({
    exit: 1,
    message: (p) => `the address ${p.address} belongs to ${p.holder}`,
    cause: () => "an address belongs to one client",
    fix: () => "choose another address",
  }),
  CLIENT_TWICE: entry<{ client: string; address: string; second: string }>({
    exit: 1,
    message: (p) => `${p.client} runs at ${p.address}, so its disk is not given to another computer at ${p.second}`,
    cause: () =>
      "two computers have one MAC, as a virtual machine and its copy do; the first one uses the disk and answers",
    fix: () => "switch one of them off, or give it a MAC of its own; the other then boots by itself",
  }),
  CLIENT_DIFFERS: entry<{ client: string; has: string; given: string }>({
    exit: 1,
    message: (p) => `${p.client} is already registered, with ${p.has} and not with ${p.given}`,
    cause: () => "adding a client that is there changes nothing about it",
    fix: (p) => `leave the value out; or change the client: imagelink client set ${p.client} --ip ADDRESS`,
  }),
  IMPORT_REJECTED: entry<{ file: string; bad: number; rows: number }>({
    exit: 1,
    message: (p) =>
      `${p.rows === 0 ? p.file : `${p.file}: ${p.bad} of ${p.rows} rows`} cannot be imported; nothing was imported`,
    cause: () => "each bad line is listed above with its number and reason",
    fix: () => "mend those lines and import the file again",
  }),
  LINK_NOT_FOUND: entry<{ client: string; slot: number }>({
    exit: 1,
    message: (p) => `${p.client} has no link in slot ${p.slot}`,
    cause: () => "the client was never linked there, or was unlinked",
    fix: (p) => `link it: imagelink client link ${p.client} IMAGE${p.slot ? ` --slot ${p.slot}` : ""}`,
  }),
  LINK_NOT_RESTORABLE: entry<{ client: string; slot: number; image: string; why: string }>({
    exit: 1,
    message: (p) => `${p.client} slot ${p.slot} cannot be linked to ${p.image} again`,
    cause: (p) => p.why,
    fix: () => "choose a moment whose images are all there, or link the clients by hand; nothing was changed",
  }),
  SLOT_INVALID: entry<{ slot: string }>({
    exit: 1,
    message: (p) => `${p.slot} is not a slot`,
    cause: () => `a client's disks are numbered 0 to 15; slot 0 boots`,
    fix: () => "give --slot a number from 0 to 15",
  }),

  LINK_FROM_GROUP: entry<{ client: string; slot: number; group: string }>({
    exit: 1,
    message: (p) => `the link of ${p.client} in slot ${p.slot} is not its own: it comes from group:${p.group}`,
    cause: () => "what a group gives its members is changed on the group; a client's own link goes before it",
    fix: (p) =>
      `take the client out of the group (imagelink group drop ${p.group} ${p.client}), unlink the group (imagelink group unlink ${p.group}${p.slot ? ` --slot ${p.slot}` : ""}), or give the client a link of its own`,
  }),
  OPTION_INVALID: entry<{ option: string; why: string }>({
    exit: 1,
    message: (p) => `${JSON.stringify(p.option)} cannot be a boot option`,
    cause: (p) => p.why,
    fix: () => "write it like --option kernel-args=quiet",
  }),

  // --- Groups ---
  GROUP_NOT_FOUND: entry<{ group: string; near?: string }>({
    exit: 1,
    message: (p) => `there is no group ${p.group}`,
    cause: (p) => (p.near ? `no group has this name; the nearest is ${p.near}` : "no group has this name"),
    fix: (p) => `see 'imagelink group list', or make it: imagelink group create ${p.group} CLIENT...`,
  }),
  GROUP_EXISTS: entry<{ name: string }>({
    exit: 1,
    message: (p) => `there is already a group ${p.name}`,
    cause: () => "names are compared without regard to upper and lower case, and each belongs to one group",
    fix: (p) => `choose another name, or add clients to this one: imagelink group add ${p.name} CLIENT...`,
  }),
  GROUP_NAME_INVALID: entry<{ name: string }>({
    exit: 1,
    message: (p) => `${JSON.stringify(p.name)} cannot be a group's name`,
    cause: () => "a group's name is 1 to 63 letters, digits and inner hyphens, and does not read as a MAC address",
    fix: () => "choose a name like lab-2",
  }),
  GROUP_CONFLICT: entry<{ client: string; what: string; groups: readonly [string, string] }>({
    exit: 1,
    message: (p) => `${p.client} would get ${p.what} from group:${p.groups[0]} and from group:${p.groups[1]}`,
    cause: () => "the client is in both groups, and nothing says which of them goes first",
    fix: () => "take the client out of one of the groups, or take the setting off one of them",
  }),
} as const
