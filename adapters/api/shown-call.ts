/** One call that was answered early, or one job: as it is now, or followed to its end. */
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { fail } from "../../core/errors.ts"
import type { JobInfo } from "../../core/jobs.ts"
import { limits } from "../../core/limits.ts"
import { type ApiSite, type Asked, problemResponse } from "./answers.ts"
import type { CallShown } from "./calls.ts"
import { allows, routes } from "./contract/routes.ts"
import { EventStream } from "./event-stream.ts"

type Shown = CallShown | JobInfo

export const shownCall = async (api: ApiSite, id: string, { admitted, accept }: Asked) => {
  const { caller, gone } = admitted
  /** Its result is for whoever could have asked for it. */
  const call = (): CallShown | undefined => {
    const kept = api.calls.get(id)
    return kept !== undefined && allows(caller.role, routes[kept.operation].role) ? kept : undefined
  }
  const look = async (): Promise<Shown | undefined> =>
    call() ?? (await api.site.call("jobs", {}, { actor: caller.actor })).find((job) => job.id === id)
  const shown = await look()
  if (shown === undefined) return problemResponse(fail("JOB_NOT_FOUND", { id }))
  if (!accept.includes("text/event-stream"))
    return HttpServerResponse.text(JSON.stringify(shown), { contentType: "application/json" })
  const stream = new EventStream(limits.apiHeartbeatMillis)
  void follow(stream, shown, look, gone)
  return HttpServerResponse.raw(stream.body, {
    contentType: "text/event-stream",
    headers: { "cache-control": "no-store" },
  })
}

/** Looks a few times a second and says what changed: one who watches a bar needs no more. */
const follow = async (
  stream: EventStream,
  first: Shown,
  look: () => Promise<Shown | undefined>,
  gone: AbortSignal,
): Promise<void> => {
  let said = ""
  for (let shown: Shown | undefined = first; shown !== undefined && !gone.aborted; shown = await look()) {
    const text = JSON.stringify(shown)
    if (text !== said) await stream.send("call", text)
    said = text
    if (shown.state !== "running") break
    await new Promise((resolve) => setTimeout(resolve, limits.apiCallLookMillis))
  }
  stream.end()
}
