/**
 * The list of errors as a page for operators (ERRORS.md) and as what `imagelink explain` prints: one text for both.
 *
 * **Details** What an error says depends on what happened, so here its parameters stand as words in capitals: PATH, IMAGE. Where a message
 * reckons with one, or says something else for another value, `samples` has a value instead.
 */
import assert from "node:assert"
import { type ErrorCode, errors } from "./errors.ts"
import { type Worked, worked, workedCodes } from "./errors-worked.ts"

export interface Explained {
  readonly code: ErrorCode
  readonly exit: number
  readonly message: string
  readonly cause: string
  readonly fix: string
  readonly worked?: Worked
}

/** By code: values for parameters that a word in capitals does not do for. */
const samples: Readonly<Partial<Record<ErrorCode, Readonly<Record<string, unknown>>>>> = {
  CRC_MISMATCH: { offset: 131072, length: 65536, backup: "a backup" },
  IMAGE_FORMAT_UNSUPPORTED: { format: "vmdk" },
  REMOTE_REFUSED: { denied: false },
  BOOT_FILE_MISSING: { fix: "apt install ipxe" },
  DATA_OPEN: { fix: "chmod o-rwx PATH" },
  LIMIT_LOW: { fix: "raise it, like LimitNOFILE= of the service" },
  SCRIPT_REFUSES: { fix: "what the script says; the client's screen shows the same" },
}

/** `sizeBytes` as SIZE_BYTES; `why` is a sentence of its own. */
const placeholder = (name: string): string =>
  name === "why" ? "(what exactly is wrong)" : name.replaceAll(/[A-Z]/g, (c) => `_${c}`).toUpperCase()

const parameters = (code: ErrorCode): never =>
  new Proxy(
    { ...samples[code] },
    {
      get: (given: Record<string, unknown>, name) => given[String(name)] ?? placeholder(String(name)),
    },
  ) as never

export const explain = (code: ErrorCode): Explained => {
  const { exit, message, cause, fix } = errors[code]
  const p = parameters(code)
  const section = worked[code]
  assert(section !== undefined || !workedCodes.includes(code), `${code} has no section in errors-worked.ts`)
  const said = { code, exit, message: message(p), cause: cause(p), fix: fix(p) }
  return section === undefined ? said : { ...said, worked: section }
}

export const errorCodes = Object.keys(errors) as ReadonlyArray<ErrorCode>

/** The same for a terminal. */
export const explainText = ({ code, exit, message, cause, fix, worked: section }: Explained): string =>
  [
    `${code} (exit ${exit})`,
    `  message: ${message}`,
    `  cause: ${cause}`,
    `  fix: ${fix}`,
    ...(section === undefined ? [] : ["", `see: ${section.see}`, "", `why: ${section.why}`, ""]),
    ...(section?.steps ?? []).map((step, i) => `${i + 1}. ${step}`),
  ].join("\n")

const head = `# Errors

Every error that Imagelink answers with, in the command line, over the API and in the server's log. The code is stable: scripts may rely on it. The
words are not. Words in capitals stand for what happened: PATH, IMAGE. \`imagelink explain CODE\` prints the same.

Exit codes: 1 refused or failed, 2 usage, 3 store damaged, 4 server not reachable.

(Made from errors.ts and errors-worked.ts by \`node --conditions=source specs/errors/write-page.ts\`.)
`

const section = ({ code, message, worked: w }: Explained): string =>
  w === undefined
    ? ""
    : [
        `### ${code}: step by step`,
        `> ${message}`,
        `**What you see.** ${w.see}`,
        `**Why.** ${w.why}`,
        `**What to do.**`,
        w.steps.map((step, i) => `${i + 1}. ${step}`).join("\n"),
      ].join("\n\n")

const entry = ({ code, exit, message, cause, fix }: Explained): string =>
  `### ${code}\n\n> ${message}\n\n- Cause: ${cause}\n- Fix: ${fix}\n- Exit code: ${exit}`

/** The whole page. */
export const errorsPage = (): string => {
  const all = errorCodes.map(explain)
  const first = workedCodes.flatMap((code) => all.filter((e) => e.code === code))
  return [head, "## The ones met most", ...first.map(section), "## All of them", ...all.map(entry)]
    .map((part) => part.trim())
    .join("\n\n")
    .concat("\n")
}
