/**
 * The iPXE script of one client: a boot plan goes in, its text comes out. Pure.
 *
 *     disk          initiator name, gateway, disks, sanboot ─► failed: say why, wait, fetch the script again
 *     menu          choose ─► fetch the script again with the choice
 *     local         the computer's own disk
 *     unregistered  say the MAC and the command, wait, fetch the script again
 *     refused       say what is missing and what to do, wait, fetch the script again
 *
 * **Details** A failed boot fetches the script anew instead of trying the same disk for ever: then what the operator mended meanwhile takes
 * effect, with a boot id that has not expired. How often it has failed is kept in a setting, which outlives the script.
 *
 * **Gotchas** iPXE splits words at blanks and knows no quotes. Whatever was not written here goes through ipxeText; an image's name is
 * `[a-z0-9-]`, a client's a DNS label, a boot id base32.
 */
import type { ErrorJson } from "../errors.ts"
import { limits } from "../limits.ts"
import { echo, ipxeText } from "./ipxe-text.ts"
import { MODEL_QUERY } from "./machine-model.ts"

/** Of an error, on a screen of 25 lines. */
const DETAILS = 5
const AUTHORITY = "iqn.2026-11.io.imagelink"

export interface DiskPlan {
  readonly kind: "disk"
  readonly client: string
  readonly mac: string
  /** `win11@3`, for the screen. */
  readonly image: string
  /** Address that the client reaches the server at. */
  readonly server: string
  readonly iscsiPort: number
  readonly bootId: string
  /** What the computer proves itself with (CHAP); undefined: nothing is asked for. */
  readonly password?: string
  /** More disks that the firmware shows to the guest; the first one is always there. */
  readonly moreSlots: ReadonlyArray<number>
  /** The guest is not told a gateway by the firmware. */
  readonly withoutGateway: boolean
  /** The boot loader to load from an EFI system partition, where that is not the usual one. */
  readonly filename?: string
  /** After some failures, the computer's own disk. */
  readonly fallback: boolean
  /** URL of this script. */
  readonly script: string
}

export interface MenuPlan {
  readonly kind: "menu"
  readonly client: string
  /** Names of images; the first one is chosen when nobody chooses. */
  readonly images: ReadonlyArray<string>
  readonly timeoutSeconds: number
  readonly script: string
}

export type BootPlan =
  | DiskPlan
  | MenuPlan
  | { readonly kind: "local"; readonly client: string; readonly script: string }
  /** `ask`: whoever stands before it may register it. */
  | { readonly kind: "unregistered"; readonly mac: string; readonly ask: boolean; readonly script: string }
  | {
      readonly kind: "refused"
      readonly client: string
      readonly error: ErrorJson
      readonly fallback: boolean
      readonly script: string
    }

export const bootScript = (plan: BootPlan): string => scriptOf(linesOf(plan))

/** The value of one of iPXE's settings. */
const setting = (name: string): string => `\${${name}}`

/** The setting by which a script finds the server that a TFTP client got its file from. */
export const NEXT_SERVER = setting("next-server")

/** Leads iPXE to its script, wherever it was started from: an address first, where its own file came without one. */
export const autoexecScript = (http: string): string =>
  scriptOf([
    ...echo("Imagelink: looking for the boot script of this computer"),
    ":start",
    `isset ${setting("netX/ip")} || dhcp || goto failed`,
    `chain --replace --autofree ${http}/boot/${setting("netX/mac:hexhyp")}.ipxe?${MODEL_QUERY} || goto failed`,
    ":failed",
    ...echo(`There is no answer from ${http}. Is the network cable plugged in, and does the server run?`, NEXT_SERVER),
    ...again,
    "goto start",
  ])

const scriptOf = (lines: ReadonlyArray<string>): string => `${["#!ipxe", ...lines].join("\n")}\n`

const again: ReadonlyArray<string> = [
  ...echo(`Trying again in ${limits.bootRetrySeconds} seconds.`),
  `sleep ${limits.bootRetrySeconds}`,
]

const linesOf = (plan: BootPlan): ReadonlyArray<string> => {
  switch (plan.kind) {
    case "disk":
      return diskLines(plan)
    case "menu":
      return menuLines(plan)
    case "local":
      return [...echo(`Imagelink: ${plan.client} boots from its own disk`), ...localLines, ...failedLines(plan, false)]
    case "unregistered":
      return [
        ...echo(`Imagelink: this computer is not registered. Its MAC is ${plan.mac}.`),
        ...(plan.ask ? askLines(plan) : []),
        ...echo(`To add it: imagelink client add ${plan.mac} --name NAME`),
        ...failedLines(plan, false),
      ]
    case "refused":
      return [
        ...echo(`Imagelink: ${plan.client} cannot boot: ${plan.error.message} [${plan.error.code}]`),
        ...echo(`cause: ${plan.error.cause}`),
        ...(plan.error.details ?? []).slice(0, DETAILS).flatMap((detail) => echo(`- ${detail}`)),
        ...echo(`fix: ${plan.error.fix}`),
        ...failedLines(plan, plan.fallback),
        ...(plan.fallback ? localPart : []),
      ]
  }
}

const askLines = ({ script }: { readonly script: string }): ReadonlyArray<string> => [
  ...echo("Type a name for it and press Enter; nothing but Enter means the next free number."),
  "clear name ||",
  "echo -n Name: ",
  "read name || goto again",
  `chain --replace --autofree ${script}?register=${setting("name:uristring")} || goto again`,
]

/** Where the script's end leads: a pause, and the script as it is then. */
const failedLines = ({ script }: { readonly script: string }, fallback: boolean): ReadonlyArray<string> => [
  ...(fallback
    ? [
        `isset ${setting("boot-failures")} || set boot-failures:int32 0`,
        "inc boot-failures",
        `iseq ${setting("boot-failures")} ${limits.bootFailuresMax} && goto local ||`,
      ]
    : []),
  ":again",
  ...again,
  `chain --replace --autofree ${script} || goto again`,
  "goto again",
]

/** BIOS boots the first disk; UEFI goes on with its own boot order. */
const localLines: ReadonlyArray<string> = [
  `iseq ${setting("platform")} pcbios || exit`,
  "sanboot --no-describe --drive 0x80 ||",
  ...echo("The computer's own disk did not boot."),
]

const localPart: ReadonlyArray<string> = [
  ":local",
  ...echo("Imagelink: booting from the computer's own disk instead"),
  ...localLines,
  "exit 1",
]

const targetUri = ({ server, iscsiPort, client, bootId }: DiskPlan, slot: number): string => {
  const host = server.includes(":") ? `[${server}]` : server
  const port = iscsiPort === 3260 ? "" : iscsiPort
  // RFC 4173 §5: the LUN is hexadecimal, and left out for 0.
  return `iscsi:${host}::${port}:${slot === 0 ? "" : slot.toString(16)}:${AUTHORITY}:${client.toLowerCase()}:${bootId}`
}

const driveOf = (slot: number): string => `--drive 0x${(0x80 + slot).toString(16)}`

/**
 * BIOS drives are hooked in their order: iPXE mixes them up when a later one comes before the first. They may still be there from the attempt before, and its session
 * must be closed before the new boot's first login, which asks whether anybody still uses the boot before.
 */
const bootLines = (plan: DiskPlan, options: string): ReadonlyArray<string> =>
  plan.moreSlots.length === 0
    ? [`sanboot${options} ${targetUri(plan, 0)} || goto failed`]
    : [
        ...[0, ...plan.moreSlots].map((slot) => `sanunhook ${driveOf(slot)} ||`),
        ...[0, ...plan.moreSlots].map((slot) => `sanhook ${driveOf(slot)} ${targetUri(plan, slot)} || goto failed`),
        `sanboot${options} --drive 0x80 || goto failed`,
      ]

/** iPXE offers CHAP where there is a user name, also one that a script before this one left behind. */
const passwordLines = ({ client, password }: DiskPlan): ReadonlyArray<string> =>
  password === undefined ? ["clear username ||"] : [`set username ${client.toLowerCase()}`, `set password ${password}`]

const diskLines = (plan: DiskPlan): ReadonlyArray<string> => {
  const { client, mac, image, server, iscsiPort, withoutGateway, filename, fallback } = plan
  // UEFI's file systems know no other separator than the backslash.
  const path = ipxeText(filename?.replaceAll("/", "\\") ?? "").replaceAll(" ", "")
  const options = path === "" ? "" : ` --filename ${path}`
  return [
    ...echo(`Imagelink: ${client} boots ${image} from ${server}`, NEXT_SERVER),
    `set initiator-iqn ${AUTHORITY}.initiator:${mac.replaceAll(":", "-")}`,
    // Windows sends what is for its own subnet to the gateway that the firmware's table names.
    ...(withoutGateway ? ["set netX/gateway 0.0.0.0"] : []),
    ...passwordLines(plan),
    ...bootLines(plan, options),
    ":failed",
    ...echo(`Imagelink: ${client} could not boot from its disk.`),
    ...echo(
      `Either ${server} port ${iscsiPort} did not answer (is a firewall in the way?), the disk was refused (the server's log says why), or ${image} does not boot.`,
      NEXT_SERVER,
    ),
    ...failedLines(plan, fallback),
    ...(fallback ? localPart : []),
  ]
}

const menuLines = (plan: MenuPlan): ReadonlyArray<string> => {
  const { client, images, timeoutSeconds, script } = plan
  const items = [...images.map((image) => `item image=${image} ${image}`), "item local This computer's own disk"]
  const first = images[0] === undefined ? "local" : `image=${images[0]}`
  return [
    `menu Imagelink: what shall ${client} boot?`,
    ...items,
    `choose --default ${first} --timeout ${timeoutSeconds * 1000} choice || goto again`,
    ...echo("Imagelink: asking for what was chosen"),
    `chain --replace --autofree ${script}?${setting("choice")} || goto again`,
    ...failedLines(plan, false),
  ]
}
