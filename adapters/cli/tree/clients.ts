/** `imagelink client …` */
import type { Command } from "commander"
import { bootOptions, moment, verb } from "./declare.ts"

const clients = () => import("../verbs/clients.ts")
const boots = () => import("../verbs/boots.ts")
const actions = () => import("../verbs/client-actions.ts")
const versions = () => import("../verbs/versions.ts")

export const declareClients = (root: Command): void => {
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
  moment(
    verb(
      client,
      "show <client>",
      "a client's links, settings, last boot and changes, now or then; now also its sessions",
      "reads",
      () => import("../verbs/client-show.ts"),
      "showClient",
    ),
  )
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
    .option("--at-next-boot", "with their next boot, so that clients may run until then; also what is kept")

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
  verb(
    client,
    "disconnect <clients...>",
    "end the sessions of running clients; what they wrote stays, and they may come back",
    "acts",
    actions,
    "disconnect",
  )
  verb(client, "wake <clients...>", "switch clients on over the network (Wake-on-LAN)", "acts", actions, "wake")
  verb(
    client,
    "request-reboot <clients...>",
    "ask clients to boot anew: shown in status and to the guest that looks for it, until they have",
    "acts",
    actions,
    "requestReboot",
  ).option("--cancel", "it is not wanted any more")
  verb(client, "script <client>", "the iPXE script it would be given now; makes no boot id", "reads", boots, "script")
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
}
