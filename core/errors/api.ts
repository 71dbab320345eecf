/** The HTTP API, and who may ask. */
import { entry } from "./entry.ts"

export const apiErrors = {
  REQUEST_INVALID: entry<{ where: string; issues: string }>({
    exit: 1,
    message: (p) => `the ${p.where} of the request: ${p.issues}`,
    cause: () => "the request is not as the API describes it",
    fix: () => "see the reference at /docs, or /openapi.json",
  }),
  ENDPOINT_NOT_FOUND: entry<{ method: string; path: string }>({
    exit: 1,
    message: (p) => `${p.method} ${p.path} is nothing in this API`,
    cause: () => "the address is misspelt, or meant for another version of the server",
    fix: () => "see the reference at /docs, or /openapi.json",
  }),
  JOB_NOT_FOUND: entry<{ id: string }>({
    exit: 1,
    message: (p) => `there is no call or job ${p.id}`,
    cause: () => "it ended long ago, before this server started, or it was none",
    fix: () => "list them: GET /api/v1/jobs",
  }),
  TOKEN_REFUSED: entry<{ why: string }>({
    exit: 1,
    message: () => "the server does not know who asks",
    cause: (p) => p.why,
    fix: () =>
      "send 'Authorization: Bearer TOKEN'; an admin makes one: imagelink token create NAME --role viewer|auditor|operator|admin",
  }),
  TOKEN_EXISTS: entry<{ name: string }>({
    exit: 1,
    message: (p) => `there is a token named ${p.name} already`,
    cause: () => "events name who asked, so a name is given once",
    fix: (p) => `choose another name, or revoke it first: imagelink token revoke ${p.name}`,
  }),
  TOKEN_NOT_FOUND: entry<{ name: string }>({
    exit: 1,
    message: (p) => `there is no token named ${p.name}`,
    cause: () => "it was never made, or it was revoked",
    fix: () => "list them: imagelink token list",
  }),
  TOKEN_INVALID: entry<{ why: string }>({
    exit: 1,
    message: () => "no token was made",
    cause: (p) => p.why,
    fix: () =>
      "give a name of letters, digits, '.', '_' and '-', a role (viewer, auditor, operator, admin) and a time of days like 90d",
  }),
  PERMISSION_DENIED: entry<{ who: string; role: string; what: string; need: string }>({
    exit: 1,
    message: (p) => `${p.who} may not do this: ${p.what}`,
    cause: (p) => `${p.who} is ${p.role}, and it takes ${p.need}`,
    fix: () => "ask an admin to do it, or for a token that may: imagelink token create NAME --role ROLE",
  }),
  REQUEST_TOO_LARGE: entry<{ maxBytes: number }>({
    exit: 1,
    message: (p) => `a request's body is at most ${p.maxBytes} bytes`,
    cause: () => "more was sent",
    fix: () => "send less at once: a list of clients in several parts",
  }),
  TOO_MANY_REFUSALS: entry<{ address: string }>({
    exit: 1,
    message: (p) => `${p.address} was refused too often`,
    cause: () => "it showed wrong tokens, many times within a minute",
    fix: () => "wait a minute, and check the token",
  }),
} as const
