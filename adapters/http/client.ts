/** A small HTTP client: one GET, as firmware makes it, from an address of one's choice. */
import { request } from "node:http"

export interface HttpFetch {
  readonly url: string
  /** One of this machine's; else the routes choose. */
  readonly localAddress?: string
  readonly millisMax?: number
  readonly bytesMax?: number
}

/** The body of a 200. @throws Error for any other answer, or none */
export const fetchHttp = ({ url, localAddress, millisMax = 10_000, bytesMax = 2 ** 20 }: HttpFetch): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const asked = request(url, {
      agent: false,
      timeout: millisMax,
      ...(localAddress === undefined ? {} : { localAddress }),
    })
    asked.on("timeout", () => asked.destroy(new Error(`no answer from ${url}`)))
    asked.on("error", reject)
    asked.on("response", (answer) => {
      const parts: Array<Buffer> = []
      let bytes = 0
      answer.on("data", (part: Buffer) => {
        bytes += part.length
        if (bytes > bytesMax) answer.destroy(new Error(`${url} has more than ${bytesMax} bytes`))
        else parts.push(part)
      })
      answer.on("error", reject)
      answer.on("end", () => {
        if (answer.statusCode === 200) resolve(Buffer.concat(parts))
        else reject(new Error(`${url}: ${answer.statusCode}`))
      })
    })
    asked.end()
  })
