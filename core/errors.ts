/**
 * The closed list of errors an operator meets: a stable code, what happened, the cause, and the fix.
 *
 * The code is API: scripts, tests and the protocol tables (NBD errno, SCSI sense, HTTP status) key on it. The words are
 * not, but they are the same in the command line, over the API and in the server's log, because they come from here.
 * Exit codes: 1 refused or failed, 2 usage, 3 store damaged, 4 server not reachable.
 *
 * **Gotchas** Programmer mistakes are not in this list: they are thrown as `AssertionError` and stay on in production.
 */

interface Entry<P> {
  readonly exit: 1 | 2 | 3 | 4
  readonly message: (p: P) => string
  readonly cause: (p: P) => string
  readonly fix: (p: P) => string
}
const entry = <P>(e: Entry<P>): Entry<P> => e

interface Range {
  readonly offset?: number
  readonly length?: number
  readonly what?: string
}
const at = (p: Range) =>
  p.offset === undefined ? "" : ` at byte ${p.offset}${p.length === undefined ? "" : ` (+${p.length})`}`

/** Formats that qemu-img reads. */
const convertible = /^(qcow2?|qed|vhd|vhdx|vmdk|vdi|parallels|dmg)$/

export const errors = {
  // --- Images and their files -------------------------------------------------------------------------------------
  IMAGE_FILE_NOT_FOUND: entry<{ path: string; image?: string }>({
    exit: 1,
    message: (p) => `${p.image ? `image ${p.image}: ` : ""}the file ${p.path} is not there`,
    cause: () => "it was moved, renamed or deleted, or its disk is not mounted",
    fix: (p) =>
      p.image
        ? `put the file back at ${p.path}, or say where it is now: imagelink image relocate ${p.image} PATH`
        : "check the path; give it as this server sees it",
  }),
  IMAGE_ACCESS_DENIED: entry<{ path: string; user: string; image?: string; need?: string }>({
    exit: 1,
    message: (p) => `${p.image ? `image ${p.image}: ` : ""}no permission to read ${p.path}`,
    cause: (p) => `the server runs as ${p.user}, which may not ${p.need ?? "read"} it`,
    fix: (p) => `give ${p.user} read permission on the file and search (x) permission on every folder above it`,
  }),
  IMAGE_NOT_A_DISK: entry<{ path: string; why: string }>({
    exit: 1,
    message: (p) => `${p.path} is not a disk image`,
    cause: (p) => p.why,
    fix: () => "give a raw disk image: a regular file of whole 512-byte blocks",
  }),
  IMAGE_SIZE_ODD: entry<{ path: string; sizeBytes: number; made?: boolean }>({
    exit: 1,
    message: (p) =>
      p.made
        ? `${p.path} cannot be made ${p.sizeBytes} bytes long`
        : `${p.path} is ${p.sizeBytes} bytes long, which is not a multiple of 512`,
    cause: (p) =>
      p.made ? "a disk is one or more whole 512-byte blocks" : "the file was cut short, or it is not a raw disk image",
    fix: (p) =>
      p.made
        ? "give a size like 64G, or another multiple of 512"
        : `copy it again from its source; if its tail is known good, pad it: truncate -s %512 ${p.path}`,
  }),
  IMAGE_TOO_LARGE: entry<{ path: string; sizeBytes: number; maxBytes: number }>({
    exit: 1,
    message: (p) => `${p.path} is ${p.sizeBytes} bytes long; at most ${p.maxBytes} are served`,
    cause: () => "the image is larger than the limit on image size",
    fix: () => "split the disk, or shrink its file system and partition table first",
  }),
  IMAGE_FORMAT_UNSUPPORTED: entry<{ path: string; format: string; why?: string }>({
    exit: 1,
    message: (p) => `${p.path} is a ${p.format} file, which this server cannot read`,
    cause: (p) =>
      p.why ??
      (convertible.test(p.format)
        ? `no format plugin for ${p.format} is installed`
        : "it is not a disk, or a disk inside of something else"),
    fix: (p) =>
      convertible.test(p.format)
        ? `convert it first: qemu-img convert -O raw ${p.path} disk.raw`
        : "give the disk image itself; if it is in an archive, unpack it first",
  }),
  IMAGE_DAMAGED: entry<{ path: string; format: string; why: string }>({
    exit: 1,
    message: (p) => `${p.path} is a damaged ${p.format} image`,
    cause: (p) => p.why,
    fix: (p) =>
      p.format === "vhd" // which qemu-img reads and does not check
        ? "copy the file again from its source, whole, or restore it from a backup"
        : `see what 'qemu-img check ${p.path}' says, or restore the file from a backup`,
  }),
  IMAGE_DEPENDENCY_REFUSED: entry<{ path: string; needs: string; why: string }>({
    exit: 1,
    message: (p) => `${p.path} depends on ${JSON.stringify(p.needs)}, which is refused`,
    cause: (p) => p.why,
    fix: (p) =>
      `put every file of the image into one folder and let them name each other by plain relative names; a qcow2 file is told where its backing file is now by: qemu-img rebase -u -b NAME -F FORMAT ${p.path}`,
  }),
  IMAGE_CHANGED: entry<{ image: string; path: string; what: string }>({
    exit: 1,
    message: (p) => `image ${p.image}: ${p.path} was changed after it was added (${p.what})`,
    cause: () => "something wrote to the master file, or replaced it; its clients would see a mixture",
    fix: (p) =>
      `if its bytes are the same (a copy put back, other permissions): imagelink image check ${p.image}; else put the original back, or add the file as a new image`,
  }),
  IMAGE_NOT_FOUND: entry<{ name: string; near?: string }>({
    exit: 1,
    message: (p) => `there is no image ${p.name}`,
    cause: (p) => (p.near ? `no image has this name; the nearest is ${p.near}` : "no image has this name"),
    fix: () => "see 'imagelink image list', or add it: imagelink image add NAME PATH",
  }),
  IMAGE_VERSION_NOT_FOUND: entry<{ name: string; version: number; newest: number }>({
    exit: 1,
    message: (p) => `image ${p.name} has no version ${p.version}`,
    cause: (p) => `its newest version is ${p.newest}`,
    fix: (p) => `name one from 1 to ${p.newest}, or leave @V out to follow the current one`,
  }),
  IMAGE_EXISTS: entry<{ name: string }>({
    exit: 1,
    message: (p) => `there is already an image ${p.name}`,
    cause: () => "names are compared without regard to upper and lower case, and each belongs to one image",
    fix: () => "choose another name",
  }),
  IMAGE_IN_USE: entry<{ image: string; links: number; who: string }>({
    exit: 1,
    message: (p) => `image ${p.image} is in use by ${p.links} ${p.links === 1 ? "link" : "links"}`,
    cause: (p) => `linked to it: ${p.who}`,
    fix: () =>
      "unlink them or link them to another image first: imagelink client unlink CLIENT..., or imagelink group unlink GROUP",
  }),
  IMAGE_NOT_SEALED: entry<{ image: string }>({
    exit: 1,
    message: (p) => `image ${p.image} has no version yet`,
    cause: () => "it was created empty and may still be written to",
    fix: (p) => `write the disk to the export image/${p.image}, then seal it: imagelink image seal ${p.image}`,
  }),
  IMAGE_DIFF_REFUSED: entry<{ from: string; to: string }>({
    exit: 1,
    message: (p) => `${p.from} and ${p.to} are versions of two images`,
    cause: () =>
      "versions are compared by the layers that one was made of and the other was not; two images share none",
    fix: (p) =>
      `name two versions of one image ('imagelink image show ${p.to.split("@")[0]}' lists them); whole disks are compared byte for byte by qemu-img compare, over their exports image/NAME@VERSION`,
  }),
  FILE_TOOL_MISSING: entry<{ tool: string; debianPackage: string }>({
    exit: 1,
    message: (p) => `${p.tool}, which lists the files of a disk, is not installed on the server`,
    cause: () => "Imagelink reads no file systems itself; a tool on the server does",
    fix: (p) => `install it on the server: apt install ${p.debianPackage}`,
  }),
  FILE_LISTING_FAILED: entry<{ why: string }>({
    exit: 1,
    message: () => "the files of a file system could not be listed",
    cause: (p) => p.why,
    fix: () =>
      "check the file system in a client that has it; 'imagelink image diff' without --files tells what changed on the disk",
  }),
  FILE_COPY_REFUSED: entry<{ image: string; needBytes: number; freeBytes: number }>({
    exit: 1,
    message: (p) => `there is no room to list the files of ${p.image}`,
    cause: (p) =>
      `its changed partitions are copied for that, up to ${p.needBytes} bytes, and the data folder has ${p.freeBytes} to spare`,
    fix: () => "free space in the data folder's file system; the copy goes away when the files are listed",
  }),
  PARTITION_TABLE_DAMAGED: entry<{ image: string; version: number; why: string }>({
    exit: 1,
    message: (p) => `the partition table of ${p.image}@${p.version} is damaged`,
    cause: (p) => p.why,
    fix: () => "mend it on the super client (sgdisk --verify, or the guest's own tools) and commit",
  }),
  IMAGE_VERSION_RETIRED: entry<{ image: string; version: number }>({
    exit: 1,
    message: (p) => `image ${p.image}@${p.version} is retired`,
    cause: () => "someone gave this version up for good, and its layer may be gone",
    fix: (p) => `name another version; see 'imagelink image show ${p.image}'`,
  }),
  IMAGE_NOTHING_BEFORE: entry<{ image: string; version: number }>({
    exit: 1,
    message: (p) => `image ${p.image}@${p.version} has no version before it`,
    cause: () => "it is the image as it was added",
    fix: (p) => `name the version to go to: imagelink image rollback ${p.image} --to V`,
  }),
  VERSION_IN_USE: entry<{ image: string; version: number; who: string }>({
    exit: 1,
    message: (p) => `image ${p.image}@${p.version} cannot be retired`,
    cause: (p) => `needed by: ${p.who}`,
    fix: () =>
      "link those clients to another version or reset them, roll back, or retire the versions made on it first",
  }),
  RAM_TIER_FULL: entry<{ image: string; version: number; needs: number; has: number; bound: "budget" | "memory" }>({
    exit: 1,
    message: (p) => `image ${p.image}@${p.version} does not fit in the RAM that is left for images`,
    cause: (p) =>
      `it needs ${p.needs} bytes, and ${p.has} ${p.bound === "budget" ? "are left" : "can be taken without making the server's host swap"}`,
    fix: (p) =>
      p.bound === "budget"
        ? "place another image back (imagelink image place OTHER --tier file), or start the server with more: imagelink serve --ram SIZE"
        : "place another image back (imagelink image place OTHER --tier file), end what else takes memory there, or place the hot zone only: --hot",
  }),
  HEAT_NONE: entry<{ image: string }>({
    exit: 1,
    message: (p) => `it is not known yet what is hot in image ${p.image}`,
    cause: () => "no boot or window was recorded that read anything of the version it has now",
    fix: (p) =>
      `boot a client from it, record what a program reads (imagelink image record ${p.image} --label NAME --for 5m), or bring heat from another server (imagelink image heat ${p.image} --import FILE)`,
  }),
  HEAT_DAMAGED: entry<{ image: string; file: string; why: string }>({
    exit: 1,
    message: (p) => `the record of what is hot in image ${p.image} cannot be read: ${p.file}`,
    cause: (p) => p.why,
    fix: (p) =>
      `no image is touched by it: the next boot that is recorded puts a new one in its place, or bring one back: imagelink image heat ${p.image} --import FILE`,
  }),
  HEAT_REFUSED: entry<{ image: string; why: string }>({
    exit: 1,
    message: (p) => `that heat is not taken for image ${p.image}`,
    cause: (p) => p.why,
    fix: () => "give a file that 'imagelink image heat NAME --export FILE' wrote for the same disk",
  }),
  HEAT_NOT_RECORDED: entry<{ image: string; why: string }>({
    exit: 1,
    message: (p) => `nothing was recorded of image ${p.image}`,
    cause: (p) => p.why,
    fix: (p) =>
      `start the server and the clients, then repeat it: imagelink image record ${p.image} --label NAME --for 5m`,
  }),
  NO_SUPER_CLIENT: entry<{ image: string }>({
    exit: 1,
    message: (p) => `image ${p.image} has no super client`,
    cause: () => "a commit seals what the super client wrote, and no client is one; a commit also ends it",
    fix: (p) =>
      `set one, start it again, and make the changes on it: imagelink client set-super CLIENT ${p.image}; then commit`,
  }),
  NOTHING_TO_COMMIT: entry<{ image: string; client: string; slot: number }>({
    exit: 1,
    message: (p) => `there is nothing to commit to image ${p.image}`,
    cause: (p) => `${p.client} slot ${p.slot} has written nothing since it was set as super client`,
    fix: (p) =>
      `start ${p.client} (again, if it ran when it was set), change what is to change, shut it down, then commit`,
  }),
  IMAGE_BUSY: entry<{ image: string; sessions: number }>({
    exit: 1,
    message: (p) => `image ${p.image} is being written to`,
    cause: (p) =>
      p.sessions === 0
        ? "it is being sealed"
        : `${p.sessions} ${p.sessions === 1 ? "session has" : "sessions have"} it open`,
    fix: () => "let the upload finish and its tool disconnect, then try again",
  }),
  COMMIT_STALE: entry<{ image: string; version: number }>({
    exit: 1,
    message: (p) => `image ${p.image}@${p.version} was not committed`,
    cause: () => "the super client or the image's versions changed while its layer was being sealed",
    fix: (p) => `look at 'imagelink image show ${p.image}', then commit again`,
  }),
  FLATTEN_NOTHING: entry<{ image: string; version: number; over: number | null }>({
    exit: 1,
    message: (p) => `there is nothing to merge into image ${p.image}@${p.version}`,
    cause: (p) =>
      p.over === null
        ? "it is read from its own files alone"
        : `it is read over version ${p.over}, with no layer between`,
    fix: (p) =>
      p.over === null
        ? `none is needed; see 'imagelink image show ${p.image}'`
        : `to have the whole disk in one file: imagelink image flatten ${p.image}@${p.version} --whole`,
  }),
  FLATTEN_STALE: entry<{ image: string; version: number }>({
    exit: 1,
    message: (p) => `image ${p.image}@${p.version} was not flattened`,
    cause: () => "where it is read from changed while its layers were being merged",
    fix: (p) => `look at 'imagelink image show ${p.image}', then flatten it again if it is still wanted`,
  }),
  SUPER_CLIENT_TAKEN: entry<{ image: string; holder: string }>({
    exit: 1,
    message: (p) => `image ${p.image} already has a super client: ${p.holder}`,
    cause: () => "the changes of two clients cannot become one version",
    fix: (p) =>
      `commit its changes (imagelink image commit ${p.image}), or clear it: imagelink client clear-super CLIENT`,
  }),
  SUPER_CLIENT_UNLINKED: entry<{ client: string; image: string; slots: string }>({
    exit: 1,
    message: (p) =>
      p.slots === ""
        ? `${p.client} is not linked to ${p.image}`
        : `${p.client} is linked to ${p.image} in several slots: ${p.slots}`,
    cause: () => "a super client updates the image that one of its slots is linked to",
    fix: (p) =>
      p.slots === "" ? `link it first: imagelink client link ${p.client} ${p.image}` : "say which one with --slot N",
  }),
  SUPER_CLIENT_NOT: entry<{ client: string; image?: string }>({
    exit: 1,
    message: (p) => `${p.client} is not the super client of ${p.image ?? "any image"}`,
    cause: () => "it was never set, it was cleared, or its changes were committed, which ends it",
    fix: () => "see who is: imagelink links (column SUPER), imagelink image list",
  }),
  SUPER_CLIENT_ACTIVE: entry<{ client: string; slot: number; image: string }>({
    exit: 1,
    message: (p) => `${p.client} slot ${p.slot} is the super client of ${p.image}`,
    cause: () => "what it wrote since is to become the image's next version, and would be lost",
    fix: (p) =>
      `commit it (imagelink image commit ${p.image}) or give it up (imagelink client clear-super ${p.client}) first`,
  }),
  SUPER_OVERLAY_NOT_FOUND: entry<{ client: string; image: string }>({
    exit: 1,
    message: (p) => `${p.client} has no super overlay of ${p.image} to resume`,
    cause: () => "none was kept aside with 'clear-super --keep', or it was resumed already",
    fix: () => "leave out --resume to begin with a fresh one",
  }),
  IMAGE_UNVERIFIED: entry<{ image: string; version: number }>({
    exit: 1,
    message: (p) => `image ${p.image}@${p.version} has not been checked yet`,
    cause: () => "without recorded checksums nothing can tell whether another file is the same disk",
    fix: (p) => `check it where it is now, then try again: imagelink image check ${p.image}@${p.version}`,
  }),
  IMAGE_DIFFERS: entry<{ image: string; version: number; path: string; why: string }>({
    exit: 1,
    message: (p) => `${p.path} is not image ${p.image}@${p.version}`,
    cause: (p) => p.why,
    fix: () => "give a copy of the very same disk; another disk is a new image: imagelink image add NAME PATH",
  }),
  IMAGE_NAME_INVALID: entry<{ name: string }>({
    exit: 1,
    message: (p) => `${JSON.stringify(p.name)} cannot be an image's name`,
    cause: () => "an image's name is 1 to 64 of a-z, 0-9 and '-', and does not read as a MAC address",
    fix: () => "choose a name like win11-lab",
  }),
  CRC_MISMATCH: entry<{
    image: string
    version: number
    offset: number
    length: number
    path?: string
    backup?: string
  }>({
    exit: 1,
    message: (p) =>
      `image ${p.image}@${p.version}: bytes ${p.offset} to ${p.offset + p.length - 1} (LBA ${p.offset / 512} to ${Math.ceil((p.offset + p.length) / 512) - 1}) do not match their checksum`,
    cause: (p) => `the storage${p.path ? ` under ${p.path}` : ""} returned other bytes than were recorded`,
    fix: (p) => `check the disk that holds it, and restore the file from ${p.backup ?? "a backup"}`,
  }),

  // --- Clients and links ------------------------------------------------------------------------------------------
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

  // --- Groups -----------------------------------------------------------------------------------------------------
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

  // --- Overlays ---------------------------------------------------------------------------------------------------
  OVERLAY_KEPT: entry<{ client: string; slot: number; image: string; version: number }>({
    exit: 1,
    message: (p) => `${p.client} slot ${p.slot} keeps its writes over ${p.image}@${p.version}`,
    cause: () =>
      "an overlay opens over no other version than the one it was made on, so without this link it would be stranded",
    fix: () => "to throw the kept writes away, say --discard-kept; to keep them, leave the link as it is",
  }),
  OVERLAY_IN_USE: entry<{ client: string; slot: number; sessions: number }>({
    exit: 1,
    message: (p) => `${p.client} slot ${p.slot} is in use (${p.sessions} ${p.sessions === 1 ? "session" : "sessions"})`,
    cause: () => "the client is running from this overlay; taking it away would corrupt its file system",
    fix: () =>
      "shut the client down first, and give it a minute: a PC does not say that it is off; a commit ('imagelink image commit --when-off') and a reset ('imagelink client reset --at-next-boot') can also wait",
  }),
  OVERLAY_LOST: entry<{ client: string; slot: number; why: string }>({
    exit: 1,
    message: (p) => `the overlay of ${p.client} slot ${p.slot} is lost`,
    cause: (p) => p.why,
    fix: (p) => `give the client a fresh one: imagelink client reset ${p.client} --slot ${p.slot}`,
  }),
  OVERLAY_DAMAGED: entry<{ path: string; why: string }>({
    exit: 1,
    message: (p) => `the overlay ${p.path} is damaged`,
    cause: (p) => p.why,
    fix: () =>
      "give the client a fresh one with 'imagelink client reset', or restore the overlay's folder from a backup",
  }),
  OVERLAY_BASE_MISMATCH: entry<{ path: string; wants: string; got: string }>({
    exit: 1,
    message: (p) => `the overlay ${p.path} belongs over ${p.wants}, not over ${p.got}`,
    cause: () => "overlay files were moved or copied by hand",
    fix: () =>
      "put the overlay's folder back where it was, or give the client a fresh one with 'imagelink client reset'",
  }),
  OVERLAY_RETIRED: entry<{ client: string; slot: number; began?: string }>({
    exit: 1,
    message: (p) => `the overlay that ${p.client} slot ${p.slot} was using has been retired`,
    cause: (p) =>
      p.began === undefined
        ? "the client was started anew, reset or linked elsewhere, or its writes were taken for the next version"
        : `a newer boot of ${p.client} began at ${p.began}: this is a PC that was left over from before, or two PCs have one MAC`,
    fix: () => "start the client again; if this comes back, look for a second PC with its MAC",
  }),
  BOOT_ID_INVALID: entry<{ client: string; why: string }>({
    exit: 1,
    message: (p) => `the boot id that ${p.client} showed is not valid`,
    cause: (p) => p.why,
    fix: () => "start the client over the network again, so that it fetches a boot script of this site",
  }),
  BOOT_ID_EXPIRED: entry<{ client: string; made: string; minutes: number }>({
    exit: 1,
    message: (p) => `the boot id that ${p.client} showed has expired`,
    cause: (p) => `its boot script was fetched at ${p.made}, and a boot must begin within ${p.minutes} minutes of that`,
    fix: () => "start the client again; if this comes back, set the server's clock (timedatectl)",
  }),

  LAYER_MAPS_FULL: entry<{ bytesMax: number }>({
    exit: 1,
    message: (p) => `the maps of the open versions need more than ${p.bytesMax} bytes of memory`,
    cause: () => "versions of very large disks, each with changes all over the disk, are open at the same time",
    fix: () =>
      "use fewer versions of such images at a time, or make a fresh image of the newest: qemu-img convert -O qcow2 FILE NEW.qcow2, then 'imagelink image add'",
  }),

  // --- Block requests ---------------------------------------------------------------------------------------------
  IO_ERROR: entry<Range & { why?: string }>({
    exit: 1,
    message: (p) => `input/output error${at(p)}${p.what ? ` on ${p.what}` : ""}`,
    cause: (p) => p.why ?? "the storage below failed",
    fix: () => "look at the server's system log for the disk or network underneath",
  }),
  MEDIUM_ERROR: entry<Range>({
    exit: 1,
    message: (p) => `unreadable${at(p)}${p.what ? ` on ${p.what}` : ""}`,
    cause: () => "the bytes below do not match their recorded checksum, or could not be read",
    fix: () => "restore the image file from a backup",
  }),
  OUT_OF_RANGE: entry<Range & { sizeBytes?: number }>({
    exit: 1,
    message: (p) => `request${at(p)} is outside the disk${p.sizeBytes === undefined ? "" : ` of ${p.sizeBytes} bytes`}`,
    cause: () => "the client asked for bytes past the end, or for a length that is not allowed",
    fix: () => "check the client's partition table against the image's size",
  }),
  READ_ONLY: entry<Range>({
    exit: 1,
    message: (p) => `write${at(p)} to a read-only disk${p.what ? ` (${p.what})` : ""}`,
    cause: () => "a version of an image never changes; only a client's own disk is writable",
    fix: () => "open client/NAME/SLOT to write",
  }),
  NO_SPACE: entry<Range>({
    exit: 1,
    message: (p) => `no space for the write${at(p)}${p.what ? ` on ${p.what}` : ""}`,
    cause: () =>
      "the server's disk, or the overlay's quota, is full; what is left of the disk may be reserved for super clients",
    fix: () => "free space on the server's data folder, or reset clients that no longer need their overlay",
  }),
  NOT_SUPPORTED: entry<Range>({
    exit: 1,
    message: (p) => `not supported${at(p)}${p.what ? `: ${p.what}` : ""}`,
    cause: () => "the storage below cannot do this, or not fast",
    fix: () => "nothing: a client falls back by itself",
  }),
  CANCELLED: entry<{ what: string }>({
    exit: 1,
    message: (p) => `${p.what} was cancelled`,
    cause: () => "someone asked it to stop, or the connection closed",
    fix: () => "start it again when ready",
  }),
  CLOSED: entry<{ what: string }>({
    exit: 1,
    message: (p) => `${p.what} is closed`,
    cause: () => "the server is stopping, or the disk was detached",
    fix: () => "connect again",
  }),
  EXPORT_NOT_FOUND: entry<{ name: string }>({
    exit: 1,
    message: (p) => (p.name === "" ? "there is no default export" : `there is no export ${JSON.stringify(p.name)}`),
    cause: () => "exports are named client/NAME/SLOT and image/NAME or image/NAME@VERSION",
    fix: () => "list what is served: nbdinfo --list nbd://SERVER",
  }),
  EXPORT_DENIED: entry<{ name: string; peer: string }>({
    exit: 1,
    message: (p) => `${p.peer} may not open the export ${JSON.stringify(p.name)}`,
    cause: () => "a client opens its own disks, from the address in the link table; loopback opens everything",
    fix: () => "connect from the client's own address, or correct that address in the link table",
  }),

  // --- Remote images ----------------------------------------------------------------------------------------------
  REMOTE_UNREACHABLE: entry<Range & { url: string; why: string }>({
    exit: 1,
    message: (p) => `cannot read ${p.url}${at(p)} now`,
    cause: (p) => p.why,
    fix: () =>
      "see that its server and the network are up; reads are answered again as soon as they are, and what is in the cache is served all the while",
  }),
  REMOTE_CHANGED: entry<{ url: string; what: string }>({
    exit: 1,
    message: (p) => `${p.url} was changed after it was opened (${p.what})`,
    cause: () => "something replaced the object; its clients would see a mixture of both",
    fix: () => "put the original back, or add the new object as a new image under an address of its own",
  }),
  REMOTE_REFUSED: entry<{ url: string; why: string; denied?: boolean }>({
    exit: 1,
    message: (p) => `${p.url} cannot be served as an image`,
    cause: (p) => p.why,
    fix: (p) =>
      p.denied
        ? "see that the credentials which the storage's configuration names are right, and may read it"
        : "serve it from a server that answers range requests with a strong ETag (any static file server or object store does), under an address that stays",
  }),

  // --- Plugins and configuration ----------------------------------------------------------------------------------
  PLUGIN_NOT_FOUND: entry<{ kind: string; known: string }>({
    exit: 1,
    message: (p) => `there is no storage plugin ${JSON.stringify(p.kind)}`,
    cause: (p) => `installed: ${p.known}`,
    fix: () => "name its module under [[plugin]] in imagelink.toml",
  }),
  PLUGIN_INVALID: entry<{ module: string; why: string }>({
    exit: 1,
    message: (p) => `${p.module} is not a plugin Imagelink can load`,
    cause: (p) => p.why,
    fix: () => "its default export must be a storage or format plugin of apiVersion 1; see plugins/README.md",
  }),
  PLUGIN_CONFIG_INVALID: entry<{ kind: string; why: string }>({
    exit: 1,
    message: (p) => `the storage plugin ${p.kind} refuses its configuration`,
    cause: (p) => p.why,
    fix: () => "correct the named keys",
  }),
  PLUGIN_BROKE_CONTRACT: entry<{ kind: string; why: string }>({
    exit: 1,
    message: (p) => `the plugin ${p.kind} broke its contract`,
    cause: (p) => p.why,
    fix: () => "report this to the plugin's author; run its conformance suite",
  }),
  FILE_UNREADABLE: entry<{ path: string; why: string }>({
    exit: 1,
    message: (p) => `cannot read ${p.path}`,
    cause: (p) => p.why,
    fix: () => "check the path, and that this user may read it",
  }),
  CONFIG_INVALID: entry<{ file: string; why: string }>({
    exit: 2,
    message: (p) => `${p.file} cannot be used`,
    cause: (p) => p.why,
    fix: () =>
      "correct the named key; 'imagelink serve --help' lists every key as a flag, 'imagelink config show' says where each is set",
  }),
  USAGE: entry<{ why: string; see: string }>({
    exit: 2,
    message: (p) => p.why,
    cause: () => "the command line was not understood",
    fix: (p) => `see ${p.see}`,
  }),

  // --- Boot files -------------------------------------------------------------------------------------------------
  REQUEST_INVALID: entry<{ where: string; issues: string }>({
    exit: 1,
    message: (p) => `the ${p.where} of the request: ${p.issues}`,
    cause: () => "the request is not as the API describes it",
    fix: () => "see the reference at /docs, or /openapi.json",
  }),
  ENDPOINT_NOT_FOUND: entry<{ method: string; path: string }>({
    exit: 1,
    message: (p) => `${p.method} ${p.path} is nothing in this API`,
    cause: () => "the address is misspelt, or meant for another version of the server",
    fix: () => "see the reference at /docs, or /openapi.json",
  }),
  JOB_NOT_FOUND: entry<{ id: string }>({
    exit: 1,
    message: (p) => `there is no call or job ${p.id}`,
    cause: () => "it ended long ago, before this server started, or it was none",
    fix: () => "list them: GET /api/v1/jobs",
  }),
  TOKEN_REFUSED: entry<{ why: string }>({
    exit: 1,
    message: () => "the server does not know who asks",
    cause: (p) => p.why,
    fix: () =>
      "send 'Authorization: Bearer TOKEN'; an admin makes one: imagelink token create NAME --role viewer|auditor|operator|admin",
  }),
  TOKEN_EXISTS: entry<{ name: string }>({
    exit: 1,
    message: (p) => `there is a token named ${p.name} already`,
    cause: () => "events name who asked, so a name is given once",
    fix: (p) => `choose another name, or revoke it first: imagelink token revoke ${p.name}`,
  }),
  TOKEN_NOT_FOUND: entry<{ name: string }>({
    exit: 1,
    message: (p) => `there is no token named ${p.name}`,
    cause: () => "it was never made, or it was revoked",
    fix: () => "list them: imagelink token list",
  }),
  TOKEN_INVALID: entry<{ why: string }>({
    exit: 1,
    message: () => "no token was made",
    cause: (p) => p.why,
    fix: () =>
      "give a name of letters, digits, '.', '_' and '-', a role (viewer, auditor, operator, admin) and a time of days like 90d",
  }),
  PERMISSION_DENIED: entry<{ who: string; role: string; what: string; need: string }>({
    exit: 1,
    message: (p) => `${p.who} may not do this: ${p.what}`,
    cause: (p) => `${p.who} is ${p.role}, and it takes ${p.need}`,
    fix: () => "ask an admin to do it, or for a token that may: imagelink token create NAME --role ROLE",
  }),
  REQUEST_TOO_LARGE: entry<{ maxBytes: number }>({
    exit: 1,
    message: (p) => `a request's body is at most ${p.maxBytes} bytes`,
    cause: () => "more was sent",
    fix: () => "send less at once: a list of clients in several parts",
  }),
  TOO_MANY_REFUSALS: entry<{ address: string }>({
    exit: 1,
    message: (p) => `${p.address} was refused too often`,
    cause: () => "it showed wrong tokens, many times within a minute",
    fix: () => "wait a minute, and check the token",
  }),
  TFTP_TIMEOUT: entry<{ client: string; file: string; lastBlock: number; blocks: number; seconds: number }>({
    exit: 1,
    message: (p) =>
      `client ${p.client} stopped answering while ${p.file} was sent (block ${p.lastBlock} of ${p.blocks})`,
    cause: (p) =>
      `no answer for ${p.seconds} seconds, though the last packets were sent again; a firewall drops them, the client was switched off, or the disk under the boot files is slow`,
    fix: () =>
      "let UDP through between server and clients: ports 67, 69 and 4011, and the ports above 1023 that transfers use; then see whether the boot files' disk is slow",
  }),

  // --- Server and store -------------------------------------------------------------------------------------------
  PORT_IN_USE: entry<{ protocol: string; address: string; port: number }>({
    exit: 1,
    message: (p) => `cannot listen for ${p.protocol} on ${p.address}:${p.port}`,
    cause: () => "another program has this port",
    fix: (p) =>
      `find it with 'ss ${p.protocol === "tftp" || p.protocol === "dhcp" ? "-lunp" : "-ltnp"} sport = :${p.port}' and stop it, or choose another: --${p.protocol}-port N`,
  }),
  LISTEN_FAILED: entry<{ protocol: string; address: string; port: number; why: string }>({
    exit: 1,
    message: (p) => `cannot listen for ${p.protocol} on ${p.address}:${p.port}`,
    cause: (p) => p.why,
    fix: () =>
      "give an address of this machine, and a port that this user may open (1024 and above without privileges)",
  }),
  DHCP_UNCONFINED: entry<{ interface: string; others: string }>({
    exit: 1,
    message: (p) => `DHCP cannot be kept to ${p.interface}`,
    cause: (p) =>
      `this host does not let the socket be bound to one interface, and who asks on ${p.others} would be answered with addresses of ${p.interface}`,
    fix: (p) =>
      `run it as root or with CAP_NET_RAW, or let systemd hand the socket over (ListenDatagram=0.0.0.0:67, BindToDevice=${p.interface}); where nobody asks on the others, --dhcp-unconfined allow`,
  }),
  DATA_NOT_FOUND: entry<{ path: string }>({
    exit: 1,
    message: (p) => `there is no Imagelink data in ${p.path}`,
    cause: () => "nothing was ever added here, or this is not the folder you mean",
    fix: () => "name the folder with --data DIR or IMAGELINK_DATA, or begin with 'imagelink image add NAME PATH'",
  }),
  DATA_ACCESS_DENIED: entry<{ path: string; user: string }>({
    exit: 1,
    message: (p) => `no permission to use the data folder ${p.path}`,
    cause: (p) => `this command runs as ${p.user}, which may not write there`,
    fix: (p) => `run as the folder's owner, or: chown -R ${p.user} ${p.path}`,
  }),
  DATA_IN_USE: entry<{ path: string; holder: string }>({
    exit: 1,
    message: (p) => `the data folder ${p.path} is in use`,
    cause: (p) => `${p.holder} has it open and does not answer on its control socket`,
    fix: () => "wait for it to finish, or stop that process; one process at a time owns a data folder",
  }),
  SERVER_NOT_REACHABLE: entry<{ path: string; why: string }>({
    exit: 4,
    message: (p) => `the server at ${p.path} does not answer`,
    cause: (p) => p.why,
    fix: () => "look at the server's own output; start it again with 'imagelink serve'",
  }),
  STORE_DAMAGED: entry<{ file: string; why: string; offset?: number }>({
    exit: 3,
    message: (p) => `the event store is damaged: ${p.file}${p.offset === undefined ? "" : ` at byte ${p.offset}`}`,
    cause: (p) => p.why,
    fix: () =>
      "nothing was changed: copy the data folder aside as it is now; 'imagelink repair --dry-run' says what can be mended from what is left, and a backup brings the rest",
  }),
  REPAIR_INCOMPLETE: entry<{ lost: string }>({
    exit: 3,
    message: (p) => `not everything could be mended: ${p.lost}`,
    cause: () => "nothing that is left in the data folder gives it back",
    fix: () =>
      "see what the table says about each; restore what is missing from a backup, then repeat 'imagelink repair'",
  }),
  STORE_NEWER: entry<{ path: string; why: string }>({
    exit: 3,
    message: (p) => `${p.path} was written by a newer Imagelink`,
    cause: (p) => p.why,
    fix: () => "use that version of Imagelink, or newer",
  }),
  STORE_READ_ONLY: entry<{ why: string }>({
    exit: 3,
    message: () => "the event store takes no more changes until it is opened again",
    cause: (p) => p.why,
    fix: () => "free space or mend the disk that holds the data folder, then start the server again",
  }),
  LOG_CONFLICT: entry<{ expected: number; actual: number }>({
    exit: 1,
    message: (p) => `the log moved on: expected position ${p.expected}, found ${p.actual}`,
    cause: () => "someone else changed something between your look and your command",
    fix: () => "look again and repeat the command",
  }),
  COMMAND_INVALID: entry<{ why: string }>({
    exit: 2,
    message: () => "the command cannot be carried out as it is written",
    cause: (p) => p.why,
    fix: () => "correct what is named; nothing was changed",
  }),
  ID_TAKEN: entry<{ id: string; holder: string }>({
    exit: 1,
    message: (p) => `the id ${p.id} belongs to ${p.holder}`,
    cause: () => "an id is made once, at random, for one thing",
    fix: () => "repeat the command; it gets a fresh id",
  }),
  COMMAND_REUSED: entry<{ id: string }>({
    exit: 1,
    message: (p) => `the command id ${p.id} was already used for another command`,
    cause: () => "a retried command must be the same command; a new one needs a new id",
    fix: () => "leave --command-id out, or give a fresh UUID",
  }),
  EVENT_TOO_LARGE: entry<{ type: string; bytes: number; max: number }>({
    exit: 1,
    message: (p) => `the event ${p.type} would take ${p.bytes} bytes; at most ${p.max} fit`,
    cause: () => "a name, note or list in the command is too long",
    fix: () => "shorten it",
  }),
  POSITION_NOT_FOUND: entry<{ position: number; head: number }>({
    exit: 1,
    message: (p) => `the log has no position ${p.position}`,
    cause: (p) => `its newest event is ${p.head}`,
    fix: () => "give a position from 0 on; 'imagelink log' lists them",
  }),
  EVENT_UNKNOWN: entry<{ type: string; position: number }>({
    exit: 3,
    message: (p) => `event ${p.position} is of a type this version does not know: ${p.type}`,
    cause: () => "the log was written by a newer Imagelink",
    fix: () => "use that version of Imagelink, or newer",
  }),
  STORE_EXISTS: entry<{ path: string }>({
    exit: 1,
    message: (p) => `there is already an event store in ${p.path}`,
    cause: () => "a store is made once; another process may have made it just now",
    fix: () => "repeat the command to use that store, or name another folder with --data DIR",
  }),
  SITE_NAME_INVALID: entry<{ name: string }>({
    exit: 1,
    message: (p) => `${JSON.stringify(p.name)} cannot be a site's name`,
    cause: () => "a site's name is 1 to 64 printable characters with no space and no '+', fixed when the store is made",
    fix: () => "choose a name like lab.example.org",
  }),
  INTERNAL_ERROR: entry<{ what: string; why: string }>({
    exit: 1,
    message: (p) => `${p.what} met an error that nobody foresaw`,
    cause: (p) => p.why,
    fix: () => "report this with the text above; nothing was acknowledged that was not done",
  }),
  VERIFY_FAILED: entry<{ what: string; why: string }>({
    exit: 1,
    message: (p) => `${p.what} failed`,
    cause: (p) => p.why,
    fix: () => "keep the data folder as it is and report this with the output above",
  }),

  // --- Audit ------------------------------------------------------------------------------------------------------
  LOG_FORKED: entry<{ head: number; why: string }>({
    exit: 3,
    message: (p) => `the log of ${p.head} events is not the one that was published; nothing was signed`,
    cause: (p) => p.why,
    fix: () =>
      "keep a copy of the data folder as it is; 'imagelink repair --dry-run' says whether what was published can be put back; else restore the store from a backup that has it",
  }),
  AUDIT_FAILED: entry<{ position?: number; why: string; tiles?: boolean }>({
    exit: 3,
    message: (p) =>
      p.position === undefined ? "the log does not hold" : `the log does not hold at position ${p.position}`,
    cause: (p) => p.why,
    fix: (p) =>
      p.tiles
        ? "the events are whole: 'imagelink repair' makes the published files again from them, when no server runs"
        : "keep a copy of the data folder as it is; 'imagelink repair --dry-run' says whether the entry bundles still have what was signed; else compare with a backup and with the checkpoints and proofs that others kept",
  }),
  NOTE_REFUSED: entry<{ file: string; why: string }>({
    exit: 1,
    message: (p) => `${p.file} is not a checkpoint of this log`,
    cause: (p) => p.why,
    fix: () =>
      "give a note that 'imagelink audit checkpoint' of this site printed; 'imagelink audit key' shows its key",
  }),
  ARCHIVE_REFUSED: entry<{ file: string; why: string }>({
    exit: 1,
    message: (p) => `${p.file} is not an archive of a log`,
    cause: (p) => p.why,
    fix: () => "give a file that 'imagelink audit export' wrote, unpacked if it was packed since",
  }),
  ARCHIVE_DAMAGED: entry<{ file: string; what: string; why: string }>({
    exit: 3,
    message: (p) => `${p.file}: ${p.what}`,
    cause: (p) => p.why,
    fix: () =>
      "get the archive again from where it was exported; where that is the same, compare it with checkpoints and proofs that others kept",
  }),
  FILE_EXISTS: entry<{ path: string }>({
    exit: 1,
    message: (p) => `there is already a file ${p.path}`,
    cause: () => "nothing is overwritten unless that is asked for",
    fix: () => "choose another name, or say --force to replace it",
  }),

  // --- Backup -----------------------------------------------------------------------------------------------------
  BACKUP_REFUSED: entry<{ dir: string; why: string }>({
    exit: 1,
    message: (p) => `${p.dir} cannot take this backup`,
    cause: (p) => p.why,
    fix: () => "name an empty folder, or the folder of this site's last backup; nothing in it was changed",
  }),
  BACKUP_INCOMPLETE: entry<{ dir: string; missing: number }>({
    exit: 1,
    message: (p) => `the backup in ${p.dir} lacks ${p.missing === 1 ? "a file" : `${p.missing} files`}`,
    cause: () => "what is listed above is missing or is not what was recorded; everything else was copied",
    fix: () => "mend what is named ('imagelink image check', 'imagelink image relocate'), then make the backup again",
  }),
  TARGET_NOT_EMPTY: entry<{ path: string }>({
    exit: 1,
    message: (p) => `${p.path} is not empty`,
    cause: () => "a backup is restored into a data folder of its own; what is there would go",
    fix: (p) => `name another folder with --data DIR; or say --force, which moves ${p.path} aside and keeps it`,
  }),
  RESTORE_REFUSED: entry<{ path: string; why: string }>({
    exit: 1,
    message: (p) => `nothing can be restored into ${p.path}`,
    cause: (p) => p.why,
    fix: () => "name another folder with --data DIR, or another name with --site NAME; nothing was changed",
  }),
  BACKUP_DAMAGED: entry<{ dir: string; why: string }>({
    exit: 3,
    message: (p) => `the backup in ${p.dir} is not whole`,
    cause: (p) => p.why,
    fix: () =>
      "use another backup; where the site still runs, making the backup again in an empty folder gives a whole one",
  }),
} as const

export type ErrorCode = keyof typeof errors
type Params<C extends ErrorCode> = Parameters<(typeof errors)[C]["message"]>[0]

export interface ErrorJson {
  readonly code: ErrorCode
  readonly message: string
  readonly cause: string
  readonly fix: string
  readonly details?: ReadonlyArray<string>
}

/** An error of the closed list. `reason` and `fix` are sentences for the operator; `cause` is the underlying error, if any. */
export class ImagelinkError extends Error {
  override readonly name = "ImagelinkError"
  readonly code: ErrorCode
  readonly reason: string
  readonly fix: string
  readonly exit: 1 | 2 | 3 | 4
  /** One line per bad thing, where several are reported at once (an import's bad rows). */
  readonly details: ReadonlyArray<string>
  /** For block requests: the first byte concerned, if it is narrower than the request. */
  readonly offset: number | undefined

  constructor(json: ErrorJson, options: { underlying?: unknown; offset?: number | undefined } = {}) {
    super(json.message, options.underlying === undefined ? {} : { cause: options.underlying })
    this.code = json.code
    this.reason = json.cause
    this.fix = json.fix
    this.exit = errors[json.code].exit
    this.details = json.details ?? []
    this.offset = options.offset
  }

  toJSON(): ErrorJson {
    const json = { code: this.code, message: this.message, cause: this.reason, fix: this.fix }
    return this.details.length === 0 ? json : { ...json, details: this.details }
  }
}

/** Makes the error of a code. `details` and `underlying` are optional companions. */
export const fail = <C extends ErrorCode>(
  code: C,
  params: Params<C>,
  more: { underlying?: unknown; details?: ReadonlyArray<string> } = {},
): ImagelinkError => {
  const e = errors[code] as unknown as Entry<Params<C>>
  const json = { code, message: e.message(params), cause: e.cause(params), fix: e.fix(params) }
  return new ImagelinkError(more.details ? { ...json, details: more.details } : json, {
    underlying: more.underlying,
    offset: (params as Range).offset,
  })
}

export const isImagelinkError = (e: unknown): e is ImagelinkError => e instanceof ImagelinkError
