/** A server elsewhere: its address, and the token that opens it, which no command line shows to other users of this machine. */
import { readFileSync, statSync } from "node:fs"
import { fail } from "../../core/errors.ts"
import type { Server } from "./client.ts"

type Environment = Readonly<Record<string, string | undefined>>

/** `IMAGELINK_CA`: a file of certificates (PEM) that vouch for the server, beside the usual ones. @throws USAGE FILE_UNREADABLE TOKEN_REFUSED */
export const serverAt = (at: string, tokenFile: string | undefined, environment: Environment): Server => {
  const url = URL.canParse(at) ? new URL(at) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw fail("USAGE", {
      why: `${JSON.stringify(at)} is no address of a server; like https://boot.example:8443`,
      see: "adapters/api/README.md",
    })
  const token = tokenFile === undefined ? environment.IMAGELINK_TOKEN : readToken(tokenFile)
  if (token === undefined || token === "")
    throw fail("TOKEN_REFUSED", { why: "no token was given: set IMAGELINK_TOKEN, or name a file with --token-file" })
  const { IMAGELINK_CA: ca } = environment
  return { url, token, ca: ca === undefined ? undefined : read(ca) }
}

const readToken = (path: string): string => {
  const text = read(path).toString("utf8").trim()
  if (process.platform !== "win32" && (statSync(path).mode & 0o077) !== 0)
    throw fail("FILE_UNREADABLE", { path, why: `other users may read the token in it; run chmod 600 ${path}` })
  return text
}

const read = (path: string): Buffer => {
  try {
    return readFileSync(path)
  } catch (e) {
    throw fail("FILE_UNREADABLE", { path, why: (e as Error).message })
  }
}
