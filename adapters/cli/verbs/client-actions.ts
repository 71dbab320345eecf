/** `imagelink client disconnect`, `wake` and `request-reboot`: what is done to clients themselves. */
import type { ActionAnswer } from "../../../core/runtime/site/clients.ts"
import type { CommonOptions } from "../options.ts"
import { count, print, printJson, time } from "../output.ts"
import { callOptions, withServer, withSite } from "../site.ts"

const printRows = <Row>(options: CommonOptions, answer: ActionAnswer<Row>, text: (row: Row) => string): void => {
  if (options.json) printJson(answer)
  else for (const row of answer.clients) print(`${answer.dryRun ? "would: " : ""}${row.client}: ${text(row)}`)
}

export const disconnect = (options: CommonOptions, clients: ReadonlyArray<string>): Promise<void> =>
  withServer(options, async (site) => {
    const answer = await site.call("client.disconnect", { clients }, callOptions(options))
    printRows(options, answer, ({ sessions, left }) => {
      if (sessions === 0) return "has no session"
      return left === 0 ? `${count(sessions, "session")} ended` : `${left} of ${count(sessions, "session")} still end`
    })
  })

export const wake = (options: CommonOptions, clients: ReadonlyArray<string>): Promise<void> =>
  withServer(options, async (site) => {
    const answer = await site.call("client.wake", { clients }, callOptions(options))
    printRows(options, answer, ({ mac, sentTo }) => `magic packet for ${mac} to ${sentTo.join(", ")}`)
  })

export const requestReboot = (
  options: CommonOptions & { readonly cancel?: boolean },
  clients: ReadonlyArray<string>,
): Promise<void> =>
  withSite(options, false, async (site) => {
    const { cancel = false } = options
    const answer = await site.call("client.request-reboot", { clients, cancel }, callOptions(options))
    printRows(options, answer, ({ requestedAt }) => {
      if (requestedAt !== null) return `asked to boot anew since ${time(requestedAt)}`
      return answer.dryRun && !cancel ? "asked to boot anew" : "not asked to boot anew"
    })
  })
