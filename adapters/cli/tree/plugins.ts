/** `imagelink plugin …`: what is installed, what it promises, and whether it keeps that. */
import type { Command } from "commander"
import { verb } from "./declare.ts"

const plugins = () => import("../verbs/plugins.ts")

export const declarePlugins = (root: Command): void => {
  const plugin = root
    .command("plugin")
    .description("storage and format plugins: what is installed, and whether it keeps its promises")
  module(verb(plugin, "list", "the installed plugins and formats", "reads", plugins, "list"))
  module(verb(plugin, "describe <name>", "what a plugin or format promises and brings", "reads", plugins, "describe"))
  module(
    verb(
      plugin,
      "check <name>",
      "run the conformance suite against it; exit code 1 when a promise is broken",
      "reads",
      plugins,
      "check",
    ),
  )
    .option("--config <json>", "a storage plugin's config of bytes that exist; they are only read")
    .option("--bytes <file>", "a file that holds what these bytes really are (default: what is read first)")
    .option("--folder-config <json>", "a storage plugin's config of a folder that may be written to")
    .option("--image <files...>", "a format's image, and after it the files that it names")
    .option("--guest <file>", "a raw file that holds the disk in that image as its guest reads it")
}

const module = (command: Command): Command =>
  command.option("--module <module>", "one more plugin: a file, or a package beside the config")
