/** `imagelink man` and `imagelink completions`; they are given the tree that they are part of. */
import type { Command } from "commander"
import type { CommonOptions } from "../options.ts"
import { verb } from "./declare.ts"

export const declareManual = (root: Command): void => {
  const load = async () => {
    const { man, completions } = await import("../verbs/manual.ts")
    return {
      man: (options: CommonOptions) => man(root, options),
      completions: (options: CommonOptions, shell: string) => completions(root, options, shell),
    }
  }
  verb(root, "man", "print the manual page, for man -l", "reads", load, "man")
  verb(
    root,
    "completions <shell>",
    "print what completes this command in bash, zsh or fish",
    "reads",
    load,
    "completions",
  )
}
