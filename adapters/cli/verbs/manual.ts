/** `imagelink man` and `imagelink completions`: printed from the command tree, to be put where the system looks for them. */
import type { Command } from "commander"
import { fail } from "../../../core/errors.ts"
import { completions as writers } from "../manual/completions.ts"
import { entriesOf } from "../manual/entries.ts"
import { manPage } from "../manual/man-page.ts"
import type { CommonOptions } from "../options.ts"
import { printFlowing, printJson } from "../output.ts"

const out = async ({ json }: CommonOptions, text: string): Promise<void> => {
  if (json) printJson({ text })
  else await printFlowing(text.trimEnd())
}

export const man = (root: Command, options: CommonOptions): Promise<void> =>
  out(options, manPage(entriesOf(root), root.version()!))

/** @throws USAGE */
export const completions = async (root: Command, options: CommonOptions, shell: string): Promise<void> => {
  if (!Object.hasOwn(writers, shell))
    throw fail("USAGE", {
      why: `there are no completions for ${shell}; expected bash, zsh or fish`,
      see: "imagelink completions --help",
    })
  await out(options, writers[shell as keyof typeof writers](entriesOf(root)))
}
