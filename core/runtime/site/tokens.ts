/** What can be asked about tokens of the HTTP API. */
import type { TokenRole, TokenRow } from "../tokens.ts"
import type { Nothing, Op } from "./operation.ts"

/** A token as it is shown: without what it is, and its groups by name. */
export interface TokenShown extends Omit<TokenRow, "groups"> {
  readonly groups: ReadonlyArray<string>
}

export interface TokenOperations {
  /** The token itself is in the answer, and nowhere else ever again. `groups`: it may change these groups' clients and nothing else. */
  "token.create": Op<
    {
      readonly name: string
      readonly role: TokenRole
      readonly groups?: ReadonlyArray<string>
      readonly days?: number
    },
    TokenShown & { readonly token: string }
  >
  "token.list": Op<Nothing, ReadonlyArray<TokenShown>>
  "token.revoke": Op<{ readonly name: string }, TokenShown>
}
