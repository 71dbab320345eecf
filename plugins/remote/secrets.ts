/**
 * Credentials, from where the configuration says that they are: never from the configuration itself, which is recorded.
 *
 *     credentials: "env:NAME"         an environment variable of the server
 *     credentials: "file:/etc/key"    a file that the server can read
 *
 * **Details** They are read anew for each request, so that a key can be replaced while images are served. No error and no identity has any of their text.
 */
import { readFile } from "node:fs/promises"
import { isAbsolute } from "node:path"
import { fail, limits } from "imagelink/plugin"

export const credentialsFault = (text: string): string | undefined => {
  if (/^env:[A-Za-z_][A-Za-z0-9_]*$/.test(text)) return undefined
  if (text.startsWith("file:") && isAbsolute(text.slice(5)) && !text.includes("\0")) return undefined
  return "must be env:NAME or file:/absolute/path; credentials themselves do not belong here"
}

export type Environment = Readonly<Record<string, string | undefined>>

/** What the variable or the file has, less the white space around it. @throws REMOTE_REFUSED */
export const readSecret = async (place: string, url: string, env: Environment): Promise<string> => {
  const name = place.slice(place.indexOf(":") + 1)
  const refuse = (why: string) => fail("REMOTE_REFUSED", { url, why, denied: true })
  let text: string | undefined
  if (place.startsWith("env:")) text = env[name]
  else
    try {
      text = await readFile(name, "utf8")
    } catch (error) {
      throw refuse(
        `its credentials file ${name} cannot be read (${(error as NodeJS.ErrnoException).code ?? "unknown"})`,
      )
    }
  const what = place.startsWith("env:") ? `the environment variable ${name}` : `the file ${name}`
  if (text === undefined || text.trim() === "") throw refuse(`${what}, which should have its credentials, is empty`)
  if (text.length > limits.remoteSecretBytesMax) throw refuse(`${what} is too long to be credentials`)
  return text.trim()
}

/** `user:password`, or a whole value that begins with its scheme (RFC 9110 §11.6.2). @throws REMOTE_REFUSED */
export const authorizationOf = (secret: string, url: string): string => {
  if (/[\r\n\0]/.test(secret))
    throw fail("REMOTE_REFUSED", { url, why: "its credentials have more than one line", denied: true })
  return /^(Basic|Bearer) /i.test(secret) || !secret.includes(":")
    ? secret.includes(" ")
      ? secret
      : `Bearer ${secret}`
    : `Basic ${Buffer.from(secret).toString("base64")}`
}
