/** `imagelink group …` */
import type { Command } from "commander"
import { bootOptions, discarding, linking, moment, verb } from "./declare.ts"

const groups = () => import("../verbs/groups.ts")

export const declareGroups = (root: Command): void => {
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
}
