/**
 * Signs requests for S3 (AWS Signature Version 4) with aws4fetch, a signer and nothing else.
 *
 * **Details** Amazon's own client (two hundred packages) would bring a second HTTP stack, retries and streams beside those that the other schemes use; what differs
 * about S3 is one header. Credentials are `KEY:SECRET` or `KEY:SECRET:TOKEN`, or a credentials file as Amazon's tools have it, of which the default profile is read.
 * Without `credentials` the usual variables count (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN); without those too, requests are not signed, as for a public bucket.
 */
import { AwsV4Signer } from "aws4fetch"
import { fail } from "imagelink/plugin"
import { type Environment, readSecret } from "../secrets.ts"

export interface S3Key {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

type Headers = Readonly<Record<string, string>>

/** @throws REMOTE_REFUSED */
export const keyOf = async (place: string | undefined, url: string, env: Environment): Promise<S3Key | undefined> => {
  if (place !== undefined) {
    const key = parseKey(await readSecret(place, url, env))
    if (key !== undefined) return key
    throw fail("REMOTE_REFUSED", { url, why: `${place} has neither KEY:SECRET nor a default profile`, denied: true })
  }
  const {
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_SESSION_TOKEN: sessionToken,
  } = env
  if (!accessKeyId || !secretAccessKey) return undefined
  return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) }
}

export const parseKey = (text: string): S3Key | undefined => {
  const [accessKeyId, secretAccessKey, sessionToken, ...rest] = text.split(":")
  if (!/[\s[=]/.test(accessKeyId ?? "") && accessKeyId && secretAccessKey && rest.length === 0)
    return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) }
  return profileKey(text)
}

/** `[default]` of a credentials file. */
const profileKey = (text: string): S3Key | undefined => {
  const found = new Map<string, string>()
  let profile = ""
  for (const line of text.split(/\r?\n/)) {
    profile = /^\s*\[\s*([^\]]+?)\s*\]/.exec(line)?.[1] ?? profile
    const [, name, value] = /^\s*(aws_\w+)\s*=\s*(\S+)\s*$/.exec(line) ?? []
    if (profile === "default" && name !== undefined && value !== undefined) found.set(name, value)
  }
  const [id, secret, token] = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"].map((n) =>
    found.get(n),
  )
  if (id === undefined || secret === undefined) return undefined
  return { accessKeyId: id, secretAccessKey: secret, ...(token === undefined ? {} : { sessionToken: token }) }
}

/** The headers with the signature among them; `now` is UTC milliseconds. */
export const signed = async (
  address: URL,
  headers: Headers,
  key: S3Key,
  region: string,
  now: number,
): Promise<Headers> => {
  const datetime = new Date(now).toISOString().replaceAll(/[:-]|\.\d{3}/g, "")
  const unsigned = { ...headers, "x-amz-content-sha256": "UNSIGNED-PAYLOAD" }
  const signer = new AwsV4Signer({
    method: "GET",
    url: address.href,
    headers: unsigned,
    ...key,
    service: "s3",
    region,
    datetime,
  })
  const { headers: all } = await signer.sign()
  return Object.fromEntries(all)
}
