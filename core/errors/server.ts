/** The server, its store, and the log. */
import { entry } from "./entry.ts"

export const serverErrors = {
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
    cause: (p) => `${p.holder} has it open, and this command cannot work through it`,
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
} as const
