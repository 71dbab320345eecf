/** The command line: `imagelink VERB …`. Parses with tree/program.ts, runs the verb that was asked for, and says what went wrong. */
import { type Command, CommanderError } from "commander"
import { fail } from "../../core/errors.ts"
import { exitWith, ignoreBrokenPipe } from "./exit.ts"
import { nodeIsTooOld } from "./node-version.ts"
import { program } from "./tree/program.ts"

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
