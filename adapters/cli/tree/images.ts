/** `imagelink image …` */
import type { Command } from "commander"
import { moment, verb } from "./declare.ts"

const heat = () => import("../verbs/heat.ts")
const images = () => import("../verbs/images.ts")
const time = () => import("../verbs/time.ts")
const versions = () => import("../verbs/versions.ts")

export const declareImages = (root: Command): void => {
  const image = root.command("image").description("images and their versions")
  verb(
    image,
    "add <name> [path]",
    "add a disk image, by path or address (https, s3, nbd); it is served in place and never written",
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
  verb(
    image,
    "check <name[@version]>",
    "read a version and compare it with its checksums",
    "runs",
    images,
    "check",
  ).option("--all", "every version of the image, one after the other")
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
  )
    .option(
      "--files",
      "the files that differ, as Sleuth Kit on the server reads them; copies the changed partitions for it",
    )
    .option("--limit <n>", "list at most so many runs, or files")
  verb(
    image,
    "flatten <name[@version]>",
    "merge the layers of a version into one file, while clients run on it",
    "changes",
    versions,
    "flatten",
  ).option("--whole", "the whole disk in one file, which needs nothing below it")
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
  )
    .option("--tier <tier>", "ramdisk or file")
    .option("--hot", "only its hot zone: what boots and recorded windows read")
    .option("--share <percent>", "with --hot: how much of those reads it covers (default 99)")
  verb(
    image,
    "heat <name>",
    "what boots and recorded windows read of an image, and how much of it",
    "reads",
    heat,
    "showHeat",
  )
    .option("--export <file>", "write it to a file, for another server")
    .option("--import <file>", "take it from such a file, of the same disk")
    .option("--force", "replace the file of --export")
  verb(
    image,
    "record <name>",
    "record what all clients of an image read for a while, under a label: twenty PCs that start a game",
    "runs",
    heat,
    "record",
  )
    .option("--label <label>", "lower-case letters, digits and hyphens; the same again adds to it")
    .option("--for <time>", "how long: 90s, 5m, 1h")
}
