/**
 * An object behind HTTP or HTTPS, read by ranges that all belong to one state of it.
 *
 *     206  Content-Range and validator are those expected        its bytes
 *     206  of another object; 416, 412                           REMOTE_CHANGED
 *     200  of another object (If-Range did not hold)             REMOTE_CHANGED
 *     200  of this one: the server ignores Range                 REMOTE_REFUSED
 *     301 302 303 307 308                                        the next address; at most remoteRedirectsMax, never from https to http
 *     404 410                                                    IMAGE_FILE_NOT_FOUND
 *     401 403                                                    REMOTE_REFUSED
 *     408 425 429 5xx, other bytes than asked for                Transient
 *
 * **Details** RFC 9110 §14 and §13.1.5. Every request is conditional and every answer is judged again, because caches on the way forget conditions.
 * `describe` asks for the first byte: one round trip that tells the size and validator, and proves that ranges work. Where redirects led is kept for the
 * next request; a refusal there (a signed address that ran out) goes back to the address given.
 */
import type { IncomingHttpHeaders } from "node:http"
import { fail, limits } from "imagelink/plugin"
import type { Clock } from "../clock.ts"
import { type Described, type Source, Transient, type Validator, type Want } from "../source.ts"
import { parseContentRange } from "./content-range.ts"
import { type Answer, exchange, makeConnections, Untrusted } from "./exchange.ts"
import { changedFrom, validatorOf } from "./validator.ts"

export interface HttpOptions {
  /** For messages. */
  readonly url: string
  readonly address: URL
  readonly clock: Clock
  readonly atOnceMax: number
  /** The operator says that it never changes: an object without a validator is taken. */
  readonly immutable: boolean
  /** The header that says which state is meant. */
  readonly condition: "if-range" | "if-match"
  /** False where requests are signed for one address. */
  readonly redirects: boolean
  /** What proves who asks; given to the address's own origin only. */
  authorize(address: URL, headers: Readonly<Record<string, string>>): Promise<Readonly<Record<string, string>>>
}

export const httpSource = (options: HttpOptions): Source => {
  const { url, address, clock } = options
  const connections = makeConnections(options.atOnceMax)
  let resolved = address

  const ask = async (range: string, condition: Record<string, string>, signal: AbortSignal): Promise<Answer> => {
    for (let hops = 0, from = resolved; ; hops++) {
      const plain = { range: `bytes=${range}`, ...condition, "accept-encoding": "identity", "user-agent": "imagelink" }
      const headers = from.origin === address.origin ? await options.authorize(from, plain) : plain
      const answer = await exchange(connections, from, headers, clock, signal).catch((error) => {
        throw error instanceof Untrusted ? refused(`its certificate is not trusted (${error.message})`) : error
      })
      const isGone = [401, 403, 404, 410].includes(answer.status)
      if (isGone && resolved !== address && hops === 0) {
        answer.drop()
        from = resolved = address
        continue
      }
      if (!isRedirect(answer.status)) {
        resolved = from
        return answer
      }
      answer.drop()
      if (!options.redirects) throw refused(regionHint(answer) ?? "its server sends readers to another address")
      if (hops >= limits.remoteRedirectsMax) throw refused(`more than ${limits.remoteRedirectsMax} redirects`)
      from = nextAddress(from, answer.headers.location)
    }
  }

  const nextAddress = (from: URL, location: string | undefined): URL => {
    if (location === undefined || !URL.canParse(location, from.href)) throw refused("a redirect leads nowhere")
    const next = new URL(location, from)
    const isWorse = next.protocol === "http:" && from.protocol === "https:"
    if (isWorse || !/^https?:$/.test(next.protocol))
      throw refused(`a redirect leads from ${from.protocol} to ${next.protocol}`)
    return next
  }

  const refused = (why: string, denied = false) => fail("REMOTE_REFUSED", { url, why, denied })
  const changed = (what: string) => fail("REMOTE_CHANGED", { url, what })

  /** What an answer that is no range means. */
  const failureOf = ({ status, headers }: Answer): Error => {
    if (status === 404 || status === 410) return fail("IMAGE_FILE_NOT_FOUND", { path: url })
    if (status === 401 || status === 403)
      return refused(`its server answers ${status}: reading it is not allowed`, true)
    const said = `its server answers ${status}`
    if (status === 408 || status === 425 || status === 429 || status >= 500)
      return new Transient(said, { waitMillis: retryAfterMillis(headers) })
    return refused(said)
  }

  const conditionOf = (validator: Validator | undefined): Record<string, string> => {
    if (validator === undefined) return {}
    if (options.condition === "if-range") return { "if-range": validator.text }
    return validator.kind === "etag" ? { "if-match": validator.text } : { "if-unmodified-since": validator.text }
  }

  const describe = async (signal: AbortSignal): Promise<Described> => {
    const answer = await ask("0-0", {}, signal)
    const { status, headers } = answer
    answer.drop()
    const range = parseContentRange(headers["content-range"])
    const isEmpty = status === 416 ? range?.sizeBytes === 0 : status === 200 && headers["content-length"] === "0"
    if (isEmpty) return { sizeBytes: 0, validator: undefined }
    if (status === 200) throw refused("its server ignores Range and answers the whole object")
    if (status !== 206) throw failureOf(answer)
    judgeEncoding(headers)
    if (range?.first !== 0) throw new Transient("its server answers other bytes than asked for")
    if (range.sizeBytes === undefined) throw refused("its server does not tell its size")
    const validator = validatorOf(headers)
    if (validator === undefined && !options.immutable)
      throw refused(
        "its server gives neither a strong ETag nor a Last-Modified that is a second old, so a change would not be seen",
      )
    return { sizeBytes: range.sizeBytes, validator }
  }

  const judgeEncoding = (headers: IncomingHttpHeaders): void => {
    const coding = headers["content-encoding"]
    if (coding !== undefined && coding !== "identity")
      throw refused(`its server packs it (Content-Encoding: ${coding.slice(0, 40)})`)
    if (headers["content-type"]?.startsWith("multipart/"))
      throw refused("its server answers one range in several parts")
  }

  const read = async (want: Want, expected: Described, signal: AbortSignal): Promise<void> => {
    const first = want.offset + want.done
    const last = want.offset + want.into.length - 1
    const answer = await ask(`${first}-${last}`, conditionOf(expected.validator), signal)
    try {
      judgeRange(answer, first, last, expected)
    } catch (error) {
      answer.drop()
      throw error
    }
    const length = parseContentRange(answer.headers["content-range"])!.last! - first + 1
    const end = want.done + length
    await answer.body((piece) => {
      const fits = Math.min(piece.length, end - want.done)
      want.into.set(fits === piece.length ? piece : piece.subarray(0, fits), want.done)
      want.done += fits
      want.arrived()
      return fits === piece.length
    })
    if (want.done < end) throw new Transient("the answer was cut short")
  }

  const judgeRange = (answer: Answer, first: number, last: number, expected: Described): void => {
    const { status, headers } = answer
    const range = parseContentRange(headers["content-range"])
    if (status === 412)
      throw changed(changedFrom(expected.validator, headers) ?? "it is not the object that was opened")
    if (status === 416) throw changed(`it has ${range?.sizeBytes ?? "other than"} bytes, not ${expected.sizeBytes}`)
    if (status === 200 || status === 206) {
      const other = changedFrom(expected.validator, headers)
      if (other !== undefined) throw changed(other)
    }
    if (status === 200) throw refused("its server ignores Range and answers the whole object")
    if (status !== 206) throw failureOf(answer)
    judgeEncoding(headers)
    if (range?.sizeBytes !== undefined && range.sizeBytes !== expected.sizeBytes)
      throw changed(`it had ${expected.sizeBytes} bytes and has ${range.sizeBytes}`)
    if (range?.first !== first || range.last! > last)
      throw new Transient("its server answers other bytes than asked for")
  }

  return {
    url,
    describe,
    read,
    async close() {
      connections.close()
    },
  }
}

const isRedirect = (status: number): boolean => [301, 302, 303, 307, 308].includes(status)

const regionHint = ({ headers }: Answer): string | undefined => {
  const region = headers["x-amz-bucket-region"]
  return typeof region === "string" ? `the bucket is in the region ${region.slice(0, 40)}` : undefined
}

/** RFC 9110 §10.2.3, in seconds; a date is not heeded, because it needs two clocks to agree. */
const retryAfterMillis = (headers: IncomingHttpHeaders): number | undefined => {
  const seconds = /^\d{1,5}$/.exec(headers["retry-after"] ?? "")?.[0]
  return seconds === undefined ? undefined : Number(seconds) * 1000
}
