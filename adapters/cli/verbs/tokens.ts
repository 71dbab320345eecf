/** `imagelink token …`: who may ask over the network. */

import { fail } from "../../../core/errors.ts"
import type { TokenShown } from "../../../core/runtime/site/tokens.ts"
import type { TokenRole } from "../../../core/runtime/tokens.ts"
import type { CommonOptions } from "../options.ts"
import { type Column, print, printJson, table } from "../output.ts"
import { callOptions, withSite } from "../site.ts"

interface CreateOptions extends CommonOptions {
  readonly role: string
  readonly group?: ReadonlyArray<string>
  readonly days?: string
}

/** The token goes to stdout alone, so that it can be put into a file as it is. */
export const createToken = async (options: CreateOptions, name: string): Promise<void> => {
  const days = options.days === undefined ? {} : { days: daysOf(options.days) }
  const groups = options.group === undefined ? {} : { groups: options.group }
  const input = { name, role: options.role as TokenRole, ...groups, ...days }
  const made = await withSite(options, true, (site) => site.call("token.create", input, callOptions(options)))
  if (options.json) return printJson(made)
  print(made.token)
  process.stderr.write(`this is ${name}'s token, ${until(made)}; it is shown this once\n`)
}

const daysOf = (text: string): number => {
  const [, days] = /^(\d{1,4})d?$/.exec(text) ?? []
  if (days === undefined) throw fail("TOKEN_INVALID", { why: `${JSON.stringify(text)} is no number of days` })
  return Number(days)
}

const until = ({ role, expiresAt }: TokenShown): string =>
  `${role}, ${expiresAt === null ? "until it is revoked" : `until ${new Date(expiresAt).toISOString().slice(0, 10)}`}`

export const listTokens = async (options: CommonOptions): Promise<void> => {
  const rows = await withSite(options, false, (site) => site.call("token.list", {}, callOptions(options)))
  if (options.json) return printJson(rows)
  const day = (millis: number | null) => (millis === null ? "-" : new Date(millis).toISOString().slice(0, 10))
  const columns: ReadonlyArray<Column<TokenShown>> = [
    { title: "TOKEN", value: ({ name }) => name },
    { title: "ROLE", value: ({ role }) => role },
    { title: "GROUPS", value: ({ groups }) => groups.join(", ") || "all" },
    { title: "MADE", value: ({ createdAt }) => day(createdAt) },
    { title: "ENDS", value: ({ expiresAt }) => day(expiresAt) },
  ]
  print(table(columns, rows))
}

export const revokeToken = async (options: CommonOptions, name: string): Promise<void> => {
  const row = await withSite(options, false, (site) => site.call("token.revoke", { name }, callOptions(options)))
  if (options.json) return printJson(row)
  print(`revoked ${row.name}`)
}
