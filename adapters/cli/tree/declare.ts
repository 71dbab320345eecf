/** How a verb is declared: its usage, what every verb of its kind takes, and the module that is loaded when it runs. */
import type { Command } from "commander"

type Kind = "reads" | "changes" | "acts" | "runs"

const common = (command: Command, kind: Kind): Command => {
  command
    .option("--data <dir>", "data folder (default ./imagelink-data, or IMAGELINK_DATA)")
    .option("--json", "print JSON")
    .option(
      "--server <url>",
      "ask a server elsewhere (or IMAGELINK_SERVER); its token is IMAGELINK_TOKEN or --token-file",
    )
    .option("--token-file <file>", "holds the token; for its owner alone")
  if (kind === "changes")
    command
      .option("--dry-run", "print the events it would append, and change nothing")
      .option("--command-id <uuid>", "retry key: the same id appends once")
  if (kind === "acts") command.option("--dry-run", "say whom it would reach, and do nothing")
  return command
}

/** Declares a verb whose handler is `run` of a module that is loaded when it is needed. */
export const verb = (
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
export const moment = (command: Command): Command =>
  command
    .option("--at <time>", "as it was then (2026-11-22, 2026-11-22T14:05Z, or 2h, 3d)")
    .option("--position <n>", "as it was after this event; 0 = before the first")

/** `--slot`, `--overlay` and `--discard-kept`, for the verbs that link. */
export const linking = (command: Command): Command =>
  discarding(command.option("--slot <n>", "which of its disks", "0")).option(
    "--overlay <policy>",
    "discard: fresh writes at each boot; keep: kept until reset",
  )

export const discarding = (command: Command): Command =>
  command.option("--discard-kept", "throw away what kept overlays hold")

/** `--option` and `--no-option`, gathered in the order they were given. */
export const bootOptions = (command: Command): Command => {
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
