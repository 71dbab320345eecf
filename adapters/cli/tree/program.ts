/**
 * The whole command tree, so that help, completions and the manual page come from one place.
 *
 * **Details** Declaring it loads no verb; a verb's module is loaded when that verb runs.
 */
import { Command } from "commander"
import packageJson from "../../../package.json" with { type: "json" }
import { declareClients } from "./clients.ts"
import { declareGroups } from "./groups.ts"
import { declareHistory } from "./history.ts"
import { declareImages } from "./images.ts"
import { declareManual } from "./manual.ts"
import { declarePlugins } from "./plugins.ts"
import { declareServer } from "./server.ts"
import { declareStore } from "./store.ts"

export const program = (): Command => {
  const root = new Command("imagelink")
    .description("One master disk image, a hundred PCs without disks: serves each its own copy over the network.")
    .version(packageJson.version)
    .option("--data <dir>", "data folder (default ./imagelink-data, or IMAGELINK_DATA)")
    .option("--json", "print JSON")
    .configureHelp({ showGlobalOptions: false })
    .showSuggestionAfterError(true)
    .enablePositionalOptions(false)

  declareImages(root)
  declareClients(root)
  declareGroups(root)
  declareHistory(root)
  declareStore(root)
  declareServer(root)
  declarePlugins(root)
  declareManual(root)
  return root
}
