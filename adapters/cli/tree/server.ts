/** `imagelink serve`, `imagelink init`, `imagelink config …`, `imagelink doctor`, `imagelink demo` and `imagelink status`. */
import type { Command } from "commander"
import { verb } from "./declare.ts"

const configs = () => import("../verbs/config.ts")

export const declareServer = (root: Command): void => {
  settings(verb(root, "serve", "serve disks until stopped", "runs", () => import("../verbs/serve.ts"), "serve"))

  verb(
    root,
    "init",
    "ask what only an operator knows, and write imagelink.toml",
    "runs",
    () => import("../verbs/init.ts"),
    "init",
  )
    .option("--interface <name>", "the network interface that PCs are on; none: this machine only")
    .option("--dhcp <mode>", "full: gives addresses; proxy: boots PCs beside another DHCP server; off")
    .option("--dhcp-range <a-b>", "addresses lent to machines without a recorded one; none")
    .option("--boot-files <dir>", "what TFTP and HTTP serve; usual: boot/ in the data folder, else /usr/lib/ipxe")
    .option("--yes", "ask nothing: what no flag says is as usual, without DHCP and for this machine only")
    .option("--force", "replace a file that is there")
  const config = root.command("config").description("what a server is told, and by whom")
  settings(
    verb(config, "show", "every setting a server would start with, and where it was said", "runs", configs, "show"),
  )
  verb(
    config,
    "check [file]",
    "judge imagelink.toml (default: the data folder's) with the environment, as serve would",
    "runs",
    configs,
    "check",
  )
  verb(
    config,
    "reload",
    "have the running server read its settings again, as SIGHUP does; says what has to wait for a restart",
    "runs",
    configs,
    "reload",
  )

  declareDoctor(root)

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
    .option("--reads <n>", "how many of a recorded boot's 1209 reads each makes", "400")
    .option("--keep", "go on serving at the end")
  verb(
    root,
    "status",
    "the running server, and where every PC stands",
    "reads",
    () => import("../verbs/status.ts"),
    "status",
  ).option("--watch", "go on every two seconds until stopped; a terminal is drawn over in place")
}

/** It looks with the settings that a server would have. */
const declareDoctor = (root: Command): void => {
  settings(
    verb(
      root,
      "doctor",
      "look for what keeps PCs from booting, from the server's side and a client's; 1 is the exit code where something fails",
      "runs",
      () => import("../verbs/doctor.ts"),
      "doctor",
    ),
  )
    .option("--as <client>", "ask as this client (default: one that is linked, and off if any is)")
    .option(
      "--from <place>",
      "try the client's side from a network namespace, or an address of this machine (default: loopback)",
    )
    .option("--only <checks>", "these checks only: ports,firewall,iscsi")
}

/** Every setting of core/runtime/config.ts that is no table. */
const settings = (command: Command): Command =>
  command
    .option("--config <file>", "imagelink.toml (default: in the data folder, if there)")
    .option("--address <ip>", "address to listen on (default 127.0.0.1)")
    .option("--nbd-port <n>", "NBD port; 0 = any free one, off = not served (default 10809)")
    .option("--tftp-port <n>", "TFTP port, for firmware 69; 0 = any free one, off = not served (default off)")
    .option("--iscsi-port <n>", "iSCSI port, by custom 3260; 0 = any free one, off = not served (default off)")
    .option("--iscsi-secrets <file>", "CHAP secrets of iSCSI targets (default: none are asked for)")
    .option(
      "--iscsi-redirect <portals>",
      "send iSCSI clients elsewhere for now: PORTAL for all, CLIENT=PORTAL, or both",
    )
    .option("--iscsi-moved <portals>", "the same, for good")
    .option("--api-port <n>", "port of the HTTP API; 0 = any free one, off = unix socket only (default off)")
    .option("--api-address <ip>", "address of the HTTP API (default 127.0.0.1)")
    .option("--api-cert <file>", "its certificate, PEM; needed on any but a loopback address")
    .option("--api-key <file>", "the certificate's key, PEM")
    .option("--interface <name>", "the network interface that DHCP serves")
    .option("--dhcp <mode>", "full: gives addresses; proxy: boots PCs beside another DHCP server; off (default)")
    .option("--dhcp-port <n>", "DHCP port; 0 = any free one (default 67)")
    .option("--dhcp-proxy-port <n>", "port of the boot server (default 4011)")
    .option("--dhcp-answers <whom>", "boot: registered clients and network boot firmware (default); all: everybody")
    .option("--dhcp-unconfined <word>", "allow: where a host cannot keep DHCP to one interface; refuse (default)")
    .option("--dhcp-range <a-b>", "addresses lent to machines without a recorded one")
    .option("--dhcp-router <ips>", "routers to name; none by default")
    .option("--dhcp-name-server <ips>", "name servers to name")
    .option("--dhcp-domain <name>", "domain to name")
    .option("--dhcp-lease-seconds <n>", "how long an address is given for (default 86400)")
    .option("--http-port <n>", "port for boot scripts and files; 0 = any free one, off = not served (default off)")
    .option("--boot-files <dir>", "what TFTP and HTTP serve (default: boot/ in the data folder, else /usr/lib/ipxe)")
    .option(
      "--registration <mode>",
      "unknown computers: closed, ask for a name, auto = take the next number (default closed)",
    )
    .option("--default-image <name>", "what computers are linked to that register themselves")
    .option("--cache <size>", "RAM for the read cache: 256M, 4G")
    .option("--ram <size>", "RAM for images placed there (default: a quarter of what is available)")
    .option("--scrub-rate <size>", "bytes a second to read images at in the background; 0 = never (default 16M)")
    .option("--scrub-every-days <n>", "how old the last check of a version may grow (default 30)")
    .option(
      "--overlay-reserve <size>",
      "disk space that only super clients may use (default: 1 % of the disk, at most 1G)",
    )
    .option(
      "--overlay-quota <size>",
      "what each client may write; its option overlay-quota goes before it (default: no bound)",
    )
    .option("--merge-layers-after <n>", "merge the layers of a version that is read over more; 0 = never (default 8)")
    .option("--log-level <level>", "error, info or debug")
