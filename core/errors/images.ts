/** Images, their versions and the files they are read from. */
import { entry } from "./entry.ts"

/** Formats that qemu-img reads. */
const convertible = /^(qcow2?|qed|vhd|vhdx|vmdk|vdi|parallels|dmg)$/

export const imageErrors = {
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
} as const
