/** The certificate and the key that the API shows: read from their files, and judged before anybody is shown them. */
import { createPrivateKey, X509Certificate } from "node:crypto"
import { readFileSync } from "node:fs"
import { createSecureContext } from "node:tls"
import { fail } from "../../core/errors.ts"

/** PEM. */
export interface Identity {
  readonly cert: string
  readonly key: string
}

/** @throws FILE_UNREADABLE; CONFIG_INVALID where a file holds something else, or the key is another certificate's */
export const readIdentity = (files: Identity): Identity => {
  const identity = { cert: textOf(files.cert), key: textOf(files.key) }
  const certificate = judged(files.cert, "a certificate in PEM", () => new X509Certificate(identity.cert))
  const key = judged(files.key, "a private key in PEM without a passphrase", () => createPrivateKey(identity.key))
  if (!certificate.checkPrivateKey(key))
    throw fail("CONFIG_INVALID", { file: files.key, why: `expected the private key of ${files.cert}, got another one` })
  judged(files.cert, "a certificate and a key that TLS takes", () => createSecureContext(identity))
  return identity
}

const textOf = (path: string): string => {
  try {
    return readFileSync(path, "utf8")
  } catch (e) {
    throw fail("FILE_UNREADABLE", { path, why: (e as Error).message })
  }
}

/** Without what the library says, which may quote. */
const judged = <A>(file: string, expected: string, read: () => A): A => {
  try {
    return read()
  } catch {
    throw fail("CONFIG_INVALID", { file, why: `expected ${expected}` })
  }
}
