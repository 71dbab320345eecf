/**
 * Which addresses are taken, and what is beside one.
 *
 *     https://images.example.org/lab/win11.qcow2     s3://bucket/lab/win11.qcow2     nbd://server:10809/export
 *
 * **Details** An address is recorded in the log for good and printed by many commands, so it must have nothing secret in it: no user and password, and no query
 * that looks like a signature, a key or a token. Credentials are named by the configuration instead (secrets.ts).
 */
import { limits } from "imagelink/plugin"

const secretKey =
  /sign|secret|token|credential|passw|passphrase|auth|api[-_]?key|access[-_]?key|^key|^sig$|^sv$|^se$|^jwt$|key[-_]pair/i

/** Why an address is refused, without repeating it; undefined when it is taken. */
export const addressFault = (text: string): string | undefined => {
  if (text.length > limits.remoteUrlCharsMax) return `must have at most ${limits.remoteUrlCharsMax} characters`
  if (/[\x00-\x20\x7f]/.test(text)) return "must not contain spaces or control characters; write them as %20"
  if (!URL.canParse(text)) return "must be an address like https://server/disk.raw"
  const url = new URL(text)
  if (!schemes.includes(url.protocol.slice(0, -1)))
    return `must begin with ${schemes.map((s) => `${s}://`).join(" or ")}`
  if (url.hostname === "") return "must name a server"
  if (url.username !== "" || url.password !== "")
    return "must have no user and password in it, because it is recorded; name them by credentials"
  if (url.hash !== "") return "must have no # part"
  const secret = [...url.searchParams.keys()].find((key) => secretKey.test(key))
  if (secret !== undefined)
    return `must not be a signed address (${secret.slice(0, 40)}): it is recorded, and it runs out; name credentials instead`
  return schemeFault(url)
}

export const schemes: ReadonlyArray<string> = ["http", "https", "s3", "nbd"]

const isEscaped = (text: string): boolean => {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}

const schemeFault = ({ protocol, pathname, search, port, hostname }: URL): string | undefined => {
  if (!isEscaped(pathname)) return "has a % that begins no escape"
  if (protocol === "s3:") {
    if (search !== "" || port !== "") return "must be s3://bucket/key and nothing else; see endpoint and region"
    if (!/^[a-z0-9][a-z0-9._-]{2,62}$/i.test(hostname))
      return "must name a bucket: 3 to 63 letters, digits, dots and hyphens"
    if (pathname.length < 2) return "must name an object of the bucket"
  }
  if (protocol === "nbd:") {
    if (search !== "") return "must be nbd://server:port/export and nothing else"
    if (decodeURIComponent(pathname).length > limits.nbdNameBytesMax / 4) return "names an export that is too long"
  }
  return undefined
}

/**
 * The address of a file beside this one. `relative` is read as a URL reference is (RFC 3986 §4.2): `%20` stays as it is, and what may not stand in a path is escaped.
 * A query belongs to the one object and is left out.
 */
export const besideAddress = (text: string, relative: string): string => {
  const url = new URL(text)
  const segments = relative
    .split("/")
    .map((segment) => encodeURIComponent(segment).replaceAll(/%25([0-9a-f]{2})/gi, "%$1"))
  url.search = ""
  url.pathname = url.pathname.slice(0, url.pathname.lastIndexOf("/") + 1) + segments.join("/")
  return url.href
}
