/**
 * The command line: `imagelink VERB …`. Parses, then loads only the module of the verb that was asked for.
 *
 * The command tree is here in one piece, so that help, completions and the manual page come from one place.
 */
import { Command, CommanderError } from "commander"
import { fail } from "../../core/errors.ts"
import packageJson from "../../package.json" with { type: "json" }
import { exitWith, ignoreBrokenPipe } from "./exit.ts"
import { nodeIsTooOld } from "./node-version.ts"

type Kind = "reads" | "changes" | "runs"

const common = (command: Command, kind: Kind): Command => {
  command
    .option("--data <dir>", "data folder (default ./imagelink-data, or IMAGELINK_DATA)")
    .option("--json", "print JSON")
  if (kind === "changes")
    command
      .option("--dry-run", "print the events it would append, and change nothing")
      .option("--command-id <uuid>", "retry key: the same id appends once")
  return command
}

/** Declares a verb whose handler is `run` of a module that is loaded when it is needed. */
const verb = (
  parent: Command,
  usage: string,
  summary: string,
  kind: Kind,
  load: () => Promise<Record<string, unknown>>,
  run: string,
) => {
  const command = common(parent.command(usage).description(summary), kind)
  return command.action(async (...args: Array<unknown>) => {
    const positional = args.slice(0, -2)
    const module = await load()
    const handler = module[run] as (options: unknown, ...args: Array<unknown>) => Promise<void>
    await handler(command.optsWithGlobals(), ...positional)
  })
}

/** `--at` and `--position`, for the verbs that look back. */
const moment = (command: Command): Command =>
  command
    .option("--at <time>", "as it was then (2026-11-22, 2026-11-22T14:05Z, or 2h, 3d)")
    .option("--position <n>", "as it was after this event; 0 = before the first")

/** `--slot`, `--overlay` and `--discard-kept`, for the verbs that link. */
const linking = (command: Command): Command =>
  discarding(command.option("--slot <n>", "which of its disks", "0")).option(
    "--overlay <policy>",
    "discard: fresh writes at each boot; keep: kept until reset",
  )

const discarding = (command: Command): Command => command.option("--discard-kept", "throw away what kept overlays hold")

/** `--option` and `--no-option`, gathered in the order they were given. */
const bootOptions = (command: Command): Command => {
  const gather = (value: (text: string) => string | null) => (text: string, before: unknown) => [
    ...(Array.isArray(before) ? before : []),
    { text, value: value(text) },
  ]
  return command.option("--option <key=value>", "set a boot option; may be given several times", gather(String)).option(
    "--no-option <key>",
    "take a boot option away",
    gather(() => null),
  )
}

const images = () => import("./verbs/images.ts")
const groups = () => import("./verbs/groups.ts")
const clients = () => import("./verbs/clients.ts")
const views = () => import("./verbs/views.ts")
const time = () => import("./verbs/time.ts")
const versions = () => import("./verbs/versions.ts")
const boots = () => import("./verbs/boots.ts")
const log = () => import("./verbs/log.ts")
const audits = () => import("./verbs/audit.ts")
const backups = () => import("./verbs/backup.ts")
const repairs = () => import("./verbs/repair.ts")

export const program = (): Command => {
  const root = new Command("imagelink")
    .description("One master disk image, a hundred PCs without disks: serves each its own copy over the network.")
    .version(packageJson.version)
    .option("--data <dir>", "data folder (default ./imagelink-data, or IMAGELINK_DATA)")
    .option("--json", "print JSON")
    .configureHelp({ showGlobalOptions: false })
    .showSuggestionAfterError(true)
    .enablePositionalOptions(false)

  const image = root.command("image").description("images and their versions")
  verb(
    image,
    "add <name> [path]",
    "add a disk image; it is served in place and never written",
    "changes",
    images,
    "add",
  )
    .option("--note <text>", "why, for the history")
    .option("--storage <kind>", "storage plugin (default file)")
    .option("--storage-config <json>", "its configuration, in place of the path")
    .option("--no-check", "do not read and checksum the image now (a server does it later)")
  verb(image, "list", "images with size, version and use", "reads", images, "list")
  moment(verb(image, "show <name>", "an image's versions and who uses them, now or then", "reads", time, "showImage"))
  verb(image, "check <name[@version]>", "read a version and compare it with its checksums", "runs", images, "check")
  verb(
    image,
    "relocate <name[@version]> [path]",
    "read an image from another place, once every byte there has matched its checksums",
    "changes",
    images,
    "relocate",
  )
    .option("--storage <kind>", "storage plugin (default file)")
    .option("--storage-config <json>", "its configuration, in place of the path")
  verb(
    image,
    "remove <name>",
    "take an image off the register; its file stays where it is",
    "changes",
    images,
    "remove",
  )

  verb(image, "create <name>", "make an empty disk, to be written to and sealed", "changes", versions, "create")
    .option("--size <size>", "how large: 64G, 500M, or bytes")
    .option("--note <text>", "why, for the history")
  verb(image, "seal <name>", "make what was written to a created image its version 1", "changes", versions, "seal")
  verb(
    image,
    "commit <name>",
    "make what the super client wrote the image's next version, and it current",
    "changes",
    versions,
    "commit",
  )
    .option("--note <text>", "what changed, for the history")
    .option("--when-off", "wait until the super client is shut down")
    .option("--fence", "end the super client's sessions first")
  verb(
    image,
    "diff <from> <to>",
    "diff NAME@V NAME@W: where on the disk two versions of an image differ, told by their layers alone",
    "reads",
    versions,
    "diff",
  ).option("--limit <n>", "list at most so many runs")
  verb(image, "retire <name@version>", "give up a version that nobody needs, for good", "changes", versions, "retire")
  verb(
    image,
    "rollback <name>",
    "make an earlier version current again; links that follow get it at their next boot",
    "changes",
    versions,
    "rollback",
  )
    .option("--to <version>", "which one (default: the one that the current version was made on)")
    .option("--note <text>", "why, for the history")

  verb(
    image,
    "place <name>",
    "hold an image in RAM, or take it back to its file, while clients run on it",
    "changes",
    versions,
    "place",
  ).option("--tier <tier>", "ramdisk or file")

  const client = root.command("client").description("diskless computers and their links")
  verb(client, "add <mac>", "register a client", "changes", clients, "add")
    .option("--name <name>", "its name (default: the next free number, PC-001)")
    .option("--ip <address>", "its IPv4 address")
  verb(
    client,
    "import <file.csv>",
    "register and link many; columns mac,name,ip,image in any order",
    "changes",
    clients,
    "importCsv",
  ).option("--image <name[@version]>", "link rows that name no image to this one")
  verb(
    client,
    "copy <from> <to...>",
    "register the MACs given, with the links of an existing client",
    "changes",
    clients,
    "copy",
  )
  verb(client, "list", "clients and what each is linked to", "reads", clients, "list")
  moment(verb(client, "show <client>", "a client's links and last changes, now or then", "reads", time, "showClient"))
  verb(
    client,
    "link <clients...>",
    "link CLIENT... IMAGE[@VERSION]: point a slot of each client to an image; PC-{001..100} is a range",
    "changes",
    clients,
    "link",
  )
    .option("--slot <n>", "which of its disks", "0")
    .option("--overlay <policy>", "discard: fresh writes at each boot; keep: kept until reset")
    .option("--discard-kept", "throw away what a kept overlay holds")
  verb(client, "unlink <clients...>", "take a slot of each client off its image", "changes", clients, "unlink")
    .option("--slot <n>", "which of its disks", "0")
    .option("--discard-kept", "throw away what a kept overlay holds")
  verb(
    client,
    "reset <clients...>",
    "throw the clients' overlays away; their next connection gets a fresh one",
    "changes",
    clients,
    "reset",
  )
    .option("--slot <n>", "which of its disks", "0")
    .option("--discard-super", "also what a super client wrote")

  verb(
    client,
    "set-super <client> <image>",
    "keep what this client writes, from its next boot on, to become the image's next version",
    "changes",
    versions,
    "setSuper",
  )
    .option("--slot <n>", "which of its disks, where several are linked to the image")
    .option("--resume", "go on with what was kept by clear-super --keep")
    .option("--discard-kept", "throw away what a kept overlay holds")
  verb(
    client,
    "clear-super <client>",
    "give up being super client, and what was written",
    "changes",
    versions,
    "clearSuper",
  )
    .option("--image <name>", "of which image, where it is of several")
    .option("--keep", "keep what was written aside, for set-super --resume")
  verb(
    client,
    "next-boot <clients...>",
    "next-boot CLIENT... IMAGE[@VERSION]|local|menu|none: what their next boot over the network gets, once",
    "changes",
    versions,
    "nextBoot",
  )
  bootOptions(
    verb(client, "set <client>", "change a client's name, address, MAC or boot options", "changes", clients, "set"),
  )
    .option("--name <name>", "its new name")
    .option("--ip <address>", "its new IPv4 address; none: without one")
    .option("--mac <mac>", "its new MAC, for another network card")
  verb(
    client,
    "remove <clients...>",
    "take clients off the register, with their links and overlays",
    "changes",
    clients,
    "remove",
  ).option("--discard-kept", "throw away what kept overlays hold")

  const group = root.command("group").description("clients that share links and boot options")
  bootOptions(
    verb(
      group,
      "create <name> [clients...]",
      "make a group of clients (PC-{001..100}, group:NAME)",
      "changes",
      groups,
      "create",
    ),
  )
  verb(group, "add <name> <clients...>", "let clients join a group", "changes", groups, "add")
  discarding(verb(group, "drop <name> <clients...>", "take clients out of a group", "changes", groups, "drop"))
  linking(
    verb(
      group,
      "link <name> <image[@version]>",
      "point a slot of all its clients to an image",
      "changes",
      groups,
      "link",
    ),
  )
  discarding(
    verb(group, "unlink <name>", "take a slot of all its clients off the group's image", "changes", groups, "unlink"),
  ).option("--slot <n>", "which of its disks", "0")
  bootOptions(verb(group, "set <name>", "change a group's name or boot options", "changes", groups, "set")).option(
    "--name <name>",
    "its new name",
  )
  verb(group, "list", "groups, how many are in each, and what they give", "reads", groups, "list")
  moment(verb(group, "show <name>", "a group's links, options and members, now or then", "reads", groups, "show"))
  discarding(verb(group, "remove <name>", "remove a group; its clients stay", "changes", groups, "remove"))

  moment(verb(root, "links", "the link table, now or then", "reads", time, "links")).option(
    "--diff <moments...>",
    "A B: what changed between two positions or times",
  )
  verb(root, "history", "who changed what, from what, to what", "reads", views, "history")
    .option("--client <client>", "only this client")
    .option("--image <image>", "only this image")
    .option("--group <group>", "only this group, and the links it gave")
    .option("--since <time>", "only from this time on (2026-11-22T14:05Z, or 2h, 3d)")
    .option("--until <time>", "only up to this time")
  verb(root, "log", "the events themselves; with --json, exactly the stored bytes", "reads", log, "log")
    .option("--after <position>", "only later ones", "0")
    .option("--type <type>", "only of this type (ClientLinked)")
    .option("--client <client>", "only of this client")
    .option("--image <image>", "only of this image")
    .option("--group <group>", "only of this group, and the links it gave")
    .option("--follow", "go on with new ones until stopped")
  verb(root, "boots", "what clients booted, and when", "reads", boots, "boots")
    .option("--client <client>", "only this client")
    .option("--follow", "go on with new ones until stopped")
  verb(root, "jobs", "long work of the running server: checks, with their progress", "runs", views, "jobs").option(
    "--cancel <id>",
    "stop one",
  )
  verb(
    root,
    "rebuild",
    "fold every projection again from the log and replace its checkpoints",
    "reads",
    views,
    "rebuild",
  ).option("--check", "compare with the running ones, change nothing")

  verb(root, "repair", "mend the data folder from what is left of it; no server may run", "runs", repairs, "repair")
    .option("--dry-run", "say what is damaged and what would be done, and change nothing")
    .option("--accept-loss", "go on without acknowledged events that are nowhere, if they were never published")

  verb(
    root,
    "explain [code]",
    "an error's cause and fix, step by step; without a code, all of them",
    "reads",
    () => import("./verbs/explain.ts"),
    "explain",
  )

  const audit = root.command("audit").description("signed checkpoints and proofs that the log was not edited")
  verb(audit, "key", "the key that verifies this log's checkpoints", "runs", audits, "key")
  verb(audit, "checkpoint", "publish what is recorded and print the signed note", "runs", audits, "checkpoint")
  verb(audit, "verify", "recompute everything from the events, of this log or of an archive", "runs", audits, "verify")
    .option("--archive <file>", "verify what 'audit export' wrote; needs no data folder")
    .option("--key <line>", "the key that must have signed the archive, as 'audit key' prints it")
    .option("--checkpoint <note>", "a checkpoint that was kept: the archive must extend it")
  verb(
    audit,
    "prove <position>",
    "print a proof, checked offline, that an event is in the log",
    "runs",
    audits,
    "prove",
  ).option("--out <file>", "write it there")
  verb(audit, "consistency <note>", "prove that the log extends an older checkpoint", "runs", audits, "consistency")
  verb(
    audit,
    "export <file>",
    "write events, tiles and checkpoint as one tar file",
    "runs",
    audits,
    "exportLog",
  ).option("--force", "replace a file that is there")

  verb(
    root,
    "backup <dir>",
    "copy the log, and with --images the image files, as they are now; again: only what changed",
    "runs",
    backups,
    "backup",
  )
    .option("--images", "the image files and layers of all versions too")
    .option("--secrets", "the key that signs the log too; keep that backup as you keep the key")
    .option("--dry-run", "say what would be copied, and copy nothing")

  verb(
    root,
    "restore [dir]",
    "make the data folder anew from a backup, as a log of its own; or bring clients and links back to a moment",
    "runs",
    backups,
    "restore",
  )
    .option("--force", "move a data folder that is there aside, and keep it")
    .option("--site <name>", "the restored log's name (default: the old one with an ending of its own)")
    .option("--images-to <dir>", "put the image files there, and have them read from there")
    .option("--until <time>", "no backup: clients and their links as they were then, by new events")
    .option("--position <n>", "no backup: as they were after this event")
    .option("--discard-kept", "throw away what kept overlays hold")
    .option("--dry-run", "verify the backup and the data folder, or print the events; change nothing")
    .option("--command-id <uuid>", "retry key, with --until or --position: the same id appends once")

  verb(root, "serve", "serve disks until stopped", "runs", () => import("./verbs/serve.ts"), "serve")
    .option("--config <file>", "imagelink.toml (default: in the data folder, if there)")
    .option("--address <ip>", "address to listen on (default 127.0.0.1)")
    .option("--nbd-port <n>", "NBD port; 0 = any free one, off = not served (default 10809)")
    .option("--tftp-port <n>", "TFTP port, for firmware 69; 0 = any free one, off = not served (default off)")
    .option("--boot-files <dir>", "what TFTP serves (default: boot/ in the data folder, else /usr/lib/ipxe)")
    .option("--cache <size>", "RAM for the read cache: 256M, 4G")
    .option("--ram <size>", "RAM for images placed there (default: a quarter of what is available)")
    .option("--log-level <level>", "error, info or debug")
  verb(
    root,
    "demo",
    "100 simulated clients, end to end, in one terminal",
    "runs",
    () => import("./verbs/demo.ts"),
    "demo",
  )
    .option("--clients <n>", "how many", "100")
    .option("--size <size>", "size of the sample image", "64M")
    .option("--keep", "go on serving at the end")
  return root
}

/** Usage errors exit 2 and print one line with its fix instead of the whole help; a program reading JSON gets no help at all. */
const usageErrors = (command: Command, json: boolean): void => {
  command.exitOverride().configureOutput({ outputError: () => {}, ...(json ? { writeErr: () => {} } : {}) })
  for (const sub of command.commands) usageErrors(sub, json)
}

const main = async (argv: ReadonlyArray<string>): Promise<void> => {
  const root = program()
  usageErrors(root, argv.includes("--json"))
  try {
    await root.parseAsync([...argv], { from: "user" })
  } catch (e) {
    if (e instanceof CommanderError) {
      if (e.exitCode === 0) return
      if (e.code === "commander.help")
        return exitWith(fail("USAGE", { why: "a command is missing", see: "imagelink --help" }), argv)
      const path = argv.filter((a) => /^[a-z]+$/.test(a)).slice(0, 2)
      const known =
        path.length > 0 && root.commands.some((c) => c.name() === path[0])
          ? `imagelink ${path[0]} --help`
          : "imagelink --help"
      return exitWith(fail("USAGE", { why: e.message.replace(/^error: /, "").replaceAll("\n", " "), see: known }), argv)
    }
    exitWith(e, argv)
  }
}

/** Whoever reads us may stop early (`imagelink log | head`); that is no error, and what the command does goes on to its end. */
ignoreBrokenPipe(process.stdout)

const refused = nodeIsTooOld(process.version)
if (refused) {
  process.stderr.write(refused)
  process.exitCode = 1
} else await main(process.argv.slice(2))
