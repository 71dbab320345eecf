/** The manual page and the completions hold every verb and every option of the tree, and the programs they are for accept them. */
import { execFileSync } from "node:child_process"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { Command } from "commander"
import { describe, expect, it } from "vitest"
import { completions, type Shell } from "../../adapters/cli/manual/completions.ts"
import { commonOptions, entriesOf } from "../../adapters/cli/manual/entries.ts"
import { manPage } from "../../adapters/cli/manual/man-page.ts"
import { program } from "../../adapters/cli/tree/program.ts"
import { imagelink, refusal, scratch } from "../support/cli.ts"
import { requires } from "../support/requires.ts"

const root = program()
const entries = entriesOf(root)
const folder = scratch("manual")
const file = (name: string, text: string): string => {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}
const run = (command: string, ...args: ReadonlyArray<string>): string =>
  execFileSync(command, args, { encoding: "utf8", env: { PATH: process.env.PATH, HOME: folder }, timeout: 30_000 })

/** Verbs as they are typed, told from the tree itself. */
const verbsBelow = (command: Command, path = ""): ReadonlyArray<readonly [string, Command]> =>
  command.commands.flatMap((c) => {
    const name = `${path} ${c.name()}`.trim()
    return c.commands.length === 0 ? [[name, c] as const] : verbsBelow(c, name)
  })
const verbs = verbsBelow(root)

/** A tree whose words hold what each language treats as its own. */
const hostile = (): Command => {
  const tree = new Command("imagelink").description("a root").version("1.2.3").option("--data <dir>", "a folder")
  tree.command("go <where>").description(`.it's a "verb": \\n of $HOME`).option("--it <a>", `'don't' \`ls\` "x" \\`)
  return tree
}

describe("the manual page", () => {
  const page = manPage(entries, "1.2.3")
  const plain = page.replaceAll("\\-", "-")
  const common = new Set(commonOptions(entries).map((o) => o.flags))
  const sectionOf = (verb: string) =>
    plain.split("\n.SS ").find((s) => s.startsWith(`"${verb}`) && /^["[< ]/.test(s.slice(verb.length + 1)))

  it("says once what every verb takes", () => {
    expect([...common]).toEqual(["--data <dir>", "--json", "--server <url>", "--token-file <file>"])
    for (const flags of common) expect(plain.split(`.B "${flags}"\n`).length).toBe(2)
  })

  it.each(verbs)("holds %s with all its options", (name, command) => {
    const section = sectionOf(name)
    expect(section).toContain(command.description())
    for (const { flags } of command.options) if (!common.has(flags)) expect(section).toContain(`.B "${flags}"\n`)
  })

  it("is the same again, and knows its version", async () => {
    expect(manPage(entriesOf(program()), "1.2.3")).toBe(page)
    const { status, stdout } = await imagelink(["man"])
    expect([status, stdout]).toEqual([0, manPage(entries, root.version()!)])
  })

  const groff = requires("groff", "groff-base")
  it.skipIf(groff.skip)("is accepted by groff without a warning, whatever words it holds", () => {
    const hostilePage = manPage(entriesOf(hostile()), "1.2.3")
    for (const text of [page, hostilePage])
      expect(run("sh", "-c", `groff -man -Tascii -ww -P-c "$1" 2>&1 >/dev/null`, "sh", file("page.1", text))).toBe("")
    const shown = run("groff", "-man", "-Tascii", "-P-c", file("hostile.1", hostilePage))
    expect(shown).toContain(`.it's a "verb": \\n of $HOME`)
  })
})

/** A word of the script on its own, with the quotes, spaces and colons of its shell around it. */
const holds = (text: string, word: string) => new RegExp(`(^|[\\s'(])${word}(?=[\\s':)]|$)`, "m").test(text)

describe("completions", () => {
  it.each(verbs)("hold %s with all its options, in each shell", (name, command) => {
    const line = (shell: Shell, start: string, end: string) => {
      const text = completions[shell](entries)
      const from = text.indexOf(start)
      expect(from, `${shell} knows ${name}`).toBeGreaterThan(0)
      return text.slice(from, text.indexOf(end, from))
    }
    const bash = line("bash", `    '${name}') words=`, ";;")
    const zsh = line("zsh", `    '${name}')\n`, ";;")
    const fish = completions
      .fish(entries)
      .split("\n")
      .filter((l) => l.includes(`'__imagelink_at "${name}"'`))
      .join("\n")
    for (const long of [...command.options.map((o) => o.long!), "--help"])
      expect([holds(bash, long), holds(zsh, long), holds(fish, `-l ${long.slice(2)}`)], long).toEqual([
        true,
        true,
        true,
      ])
  })

  const offeredByBash = (script: string, ...words: ReadonlyArray<string>) =>
    run(
      "bash",
      "-c",
      `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _imagelink; printf '%s\\n' "\${COMPREPLY[@]}"`,
      "bash",
      script,
      "imagelink",
      ...words,
    )
      .trim()
      .split("\n")

  it("offer verbs, then their options, in bash", () => {
    const script = file("bash", completions.bash(entries))
    run("bash", "-n", script)
    expect(offeredByBash(script, "co")).toEqual(["config", "completions"])
    expect(offeredByBash(script, "--data", "image", "co")).toEqual(["config", "completions"])
    expect(offeredByBash(script, "image", "re")).toEqual(["relocate", "remove", "retire", "record"])
    expect(offeredByBash(script, "image", "seal", "master", "--d")).toEqual(["--data", "--dry-run"])
    expect(offeredByBash(script, "image", "seal", "x")).toEqual([""])
    expect(offeredByBash(file("hostile.bash", completions.bash(entriesOf(hostile()))), "go", "--i")).toEqual(["--it"])
  })

  const zsh = requires("zsh", "zsh")
  it.skipIf(zsh.skip)("offer verbs, then their options, in zsh", () => {
    const offered = (script: string, ...words: ReadonlyArray<string>) =>
      run(
        "zsh",
        "-fc",
        `compdef() {}; _files() {}; _describe() { print -rl -- \${(P)@[-1]} }; source "$1"; shift; words=("$@"); CURRENT=$#; PREFIX=$words[-1]; _imagelink`,
        "zsh",
        script,
        "imagelink",
        ...words,
      )
        .trim()
        .split("\n")
    const script = file("zsh", completions.zsh(entries))
    expect(offered(script, "token", "")).toEqual([
      "create:make a token; it is shown this once",
      "list:tokens, their roles and when they end",
      "revoke:take a token back, at once",
    ])
    expect(offered(script, "--data", "image", "image", "seal", "x", "-")).toContain(
      "--dry-run:print the events it would append, and change nothing",
    )
    const odd = file("hostile.zsh", completions.zsh(entriesOf(hostile())))
    expect(offered(odd, "")).toEqual([`go:.it's a "verb": \\n of $HOME`])
    expect(offered(odd, "go", "-")).toContain(`--it:'don't' \`ls\` "x" \\`)
  })

  const fish = requires("fish", "fish")
  it.skipIf(fish.skip)("offer verbs, then their options, in fish", () => {
    const offered = (script: string, line: string) =>
      run("fish", "-c", "source $argv[1]; complete -C $argv[2]", script, line).trim().split("\n")
    const script = file("fish", completions.fish(entries))
    expect(offered(script, "imagelink token ")).toEqual([
      "create\tmake a token; it is shown this once",
      "list\ttokens, their roles and when they end",
      "revoke\ttake a token back, at once",
    ])
    expect(offered(script, "imagelink --data image image seal x --dr")).toEqual([
      "--dry-run\tprint the events it would append, and change nothing",
    ])
    const odd = file("hostile.fish", completions.fish(entriesOf(hostile())))
    expect(offered(odd, "imagelink go --i")).toEqual([`--it\t'don't' \`ls\` "x" \\`])
  })

  it("are printed as they are written, and refused for another shell", async () => {
    expect((await imagelink(["completions", "fish"])).stdout).toBe(completions.fish(entries))
    for (const shell of ["csh", "toString", ""]) {
      const refused = await imagelink(["completions", shell, "--json"])
      expect([refused.status, refusal(refused).code]).toEqual([2, "USAGE"])
    }
  })
})
