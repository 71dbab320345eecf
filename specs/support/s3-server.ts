/**
 * A bucket in memory that believes no request: AWS Signature Version 4 is computed again from what arrived, header by header.
 *
 * **Details** Written from the published procedure ("Signature Calculations for the Authorization Header"), without the signer that the plugin uses; one spec holds it against the
 * published example, another against curl. What other servers are tried, and why this one besides: core/decisions/018-s3-peers.md.
 */
import { createHash, createHmac } from "node:crypto"
import * as http from "node:http"
import type { AddressInfo } from "node:net"

export interface SignedRequest {
  readonly method: string
  /** Path and query as they were sent. */
  readonly target: string
  readonly headers: http.IncomingHttpHeaders
}

const hmac = (key: string | Buffer, text: string) => createHmac("sha256", key).update(text).digest()
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex")
const escapeAll = (text: string) =>
  encodeURIComponent(text).replaceAll(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)

/** The signature that a request should have, from the scope and the header names that it claims. */
export const signatureOf = ({ method, target, headers }: SignedRequest, secret: string): string => {
  const { date, region, signedHeaders } = claimOf(headers)
  const [path = "", query = ""] = target.split("?")
  const canonicalPath = path
    .split("/")
    .map((segment) => escapeAll(decodeURIComponent(segment)))
    .join("/")
  const lines = signedHeaders.map(
    (name) =>
      `${name}:${String(headers[name] ?? "")
        .trim()
        .replaceAll(/ +/g, " ")}\n`,
  )
  const payload = String(headers["x-amz-content-sha256"])
  const canonical = [method, canonicalPath, query, lines.join(""), signedHeaders.join(";"), payload].join("\n")
  const scope = `${date}/${region}/s3/aws4_request`
  const toSign = ["AWS4-HMAC-SHA256", String(headers["x-amz-date"]), scope, sha256(canonical)].join("\n")
  const key = ["s3", "aws4_request"].reduce(hmac, hmac(hmac(`AWS4${secret}`, date), region))
  return hmac(key, toSign).toString("hex")
}

const claimOf = ({ authorization = "" }: http.IncomingHttpHeaders) => {
  const [, id = "", date = "", region = "", names = "", signature = ""] =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/.exec(
      authorization,
    ) ?? []
  return { id, date, region, signedHeaders: names.split(";"), signature }
}

export interface S3ServerOptions {
  readonly bucket: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
  readonly region: string
}

export interface S3Server {
  readonly endpoint: string
  readonly objects: Map<string, { bytes: Uint8Array; etag: string }>
  readonly requests: Array<string>
  close(): Promise<void>
}

const SKEW_MILLIS_MAX = 15 * 60_000

export const s3Server = async (options: S3ServerOptions): Promise<S3Server> => {
  const objects: S3Server["objects"] = new Map()
  const requests: Array<string> = []
  const server = http.createServer((request, response) => {
    const target = request.url ?? ""
    const { headers } = request
    requests.push(`${request.method} ${target} ${headers.range ?? "-"}`)
    const deny = (status: number, code: string, more: Record<string, string> = {}) =>
      response
        .writeHead(status, { "content-type": "application/xml", ...more })
        .end(`<Error><Code>${code}</Code></Error>`)
    const claim = claimOf(headers)
    const needed = ["host", "x-amz-content-sha256", "x-amz-date"]
    if (claim.id !== options.accessKeyId) return deny(403, "InvalidAccessKeyId")
    if (needed.some((name) => !claim.signedHeaders.includes(name))) return deny(403, "AccessDenied")
    if (claim.region !== options.region)
      return deny(301, "PermanentRedirect", { "x-amz-bucket-region": options.region })
    if (headers["x-amz-security-token"] !== options.sessionToken) return deny(403, "InvalidToken")
    const date = String(headers["x-amz-date"]).replace(/^(....)(..)(..T..)(..)(..Z)$/, "$1-$2-$3:$4:$5")
    if (!(Math.abs(Date.parse(date) - Date.now()) <= SKEW_MILLIS_MAX)) return deny(403, "RequestTimeTooSkewed")
    if (signatureOf({ method: request.method ?? "", target, headers }, options.secretAccessKey) !== claim.signature)
      return deny(403, "SignatureDoesNotMatch")
    const prefix = `/${options.bucket}/`
    const object = target.startsWith(prefix) ? objects.get(decodeURIComponent(target.slice(prefix.length))) : undefined
    if (object === undefined) return deny(404, "NoSuchKey")
    const { bytes, etag } = object
    if (headers["if-match"] !== undefined && headers["if-match"] !== etag) return deny(412, "PreconditionFailed")
    const range = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? "")
    if (range === null) return response.writeHead(200, { etag, "content-length": bytes.length }).end(bytes)
    const [first, last] = [Number(range[1]), Math.min(Number(range[2]), bytes.length - 1)]
    if (first > last) return deny(416, "InvalidRange", { "content-range": `bytes */${bytes.length}` })
    const body = bytes.subarray(first, last + 1)
    const contentRange = `bytes ${first}-${last}/${bytes.length}`
    return response.writeHead(206, { etag, "content-range": contentRange, "content-length": body.length }).end(body)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    objects,
    requests,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
