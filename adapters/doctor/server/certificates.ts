/** The certificate of the API: readable, with its own key, and holding for a while yet. */
import { createPrivateKey, X509Certificate } from "node:crypto"
import { readFileSync } from "node:fs"
import { fail } from "../../../core/errors.ts"
import { limits } from "../../../core/limits.ts"
import type { Check } from "../check.ts"
import { type Found, failed, pass, skip, warn } from "../finding.ts"
import { isGuest } from "../store.ts"
import { timeText } from "../words.ts"

const DAY_MILLIS = 24 * 60 * 60 * 1000

export const certificates: Check = {
  name: "certificates",
  side: "server",
  run: async (exam) => {
    const { apiTls } = exam.config
    if (apiTls === undefined) return [skip("certificates", "the API has none")]
    const found = judge(apiTls, exam.now())
    const isClosed = found.error?.code === "CERTIFICATE_UNUSABLE" && found.error.cause.startsWith("EACCES")
    return [isClosed && isGuest(exam) ? skip(apiTls.cert, "its key is for the server's user alone") : found]
  },
}

const judge = ({ cert, key }: { readonly cert: string; readonly key: string }, now: number): Found => {
  const unusable = (path: string, e: unknown) =>
    failed(cert, fail("CERTIFICATE_UNUSABLE", { path, why: (e as Error).message }, { underlying: e }))
  let certificate: X509Certificate
  try {
    certificate = new X509Certificate(readFileSync(cert))
  } catch (e) {
    return unusable(cert, e)
  }
  try {
    if (!certificate.checkPrivateKey(createPrivateKey(readFileSync(key))))
      return unusable(cert, new Error(`the key in ${key} is another one's`))
  } catch (e) {
    return unusable(key, e)
  }
  const [from, to] = [certificate.validFromDate.getTime(), certificate.validToDate.getTime()]
  if (now > to) return failed(cert, fail("CERTIFICATE_EXPIRED", { path: cert, when: `it ended at ${timeText(to)}` }))
  if (now < from)
    return failed(
      cert,
      fail("CERTIFICATE_EXPIRED", { path: cert, when: `it begins at ${timeText(from)} only; is the clock right?` }),
    )
  if (to - now < limits.doctorCertificateDays * DAY_MILLIS)
    return warn(cert, fail("CERTIFICATE_ENDS_SOON", { path: cert, when: timeText(to) }))
  return pass(cert, `holds until ${timeText(to)}, with its key`)
}
