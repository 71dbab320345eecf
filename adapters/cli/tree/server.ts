/** `imagelink serve` and `imagelink demo`. */
import type { Command } from "commander"
import { verb } from "./declare.ts"

export const declareServer = (root: Command): void => {
  verb(root, "serve", "serve disks until stopped", "runs", () => import("../verbs/serve.ts"), "serve")
    .option("--config <file>", "imagelink.toml (default: in the data folder, if there)")
    .option("--address <ip>", "address to listen on (default 127.0.0.1)")
    .option("--nbd-port <n>", "NBD port; 0 = any free one, off = not served (default 10809)")
    .option("--tftp-port <n>", "TFTP port, for firmware 69; 0 = any free one, off = not served (default off)")
    .option("--iscsi-port <n>", "iSCSI port, by custom 3260; 0 = any free one, off = not served (default off)")
    .option("--iscsi-secrets <file>", "CHAP secrets of iSCSI targets (default: none are asked for)")
    .option("--boot-files <dir>", "what TFTP serves (default: boot/ in the data folder, else /usr/lib/ipxe)")
    .option("--cache <size>", "RAM for the read cache: 256M, 4G")
    .option("--ram <size>", "RAM for images placed there (default: a quarter of what is available)")
    .option("--log-level <level>", "error, info or debug")
  verb(
    root,
    "demo",
    "100 simulated clients, end to end, in one terminal",
    "runs",
    () => import("../verbs/demo.ts"),
    "demo",
  )
    .option("--clients <n>", "how many", "100")
    .option("--size <size>", "size of the sample image", "64M")
    .option("--keep", "go on serving at the end")
}
