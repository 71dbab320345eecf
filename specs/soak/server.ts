/** The built server in a process of its own, with a disk and its clients, and its metrics as they are scraped. */
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { request } from "node:http"
import { join } from "node:path"
import { createInterface } from "node:readline"

const BIN = join(import.meta.dirname, "../../bin/imagelink")

export interface SoakServer {
  readonly listeners: Readonly<Record<string, string>>
  /** The text that Prometheus gets. */
  metrics(): Promise<string>
  /** How long it took, in milliseconds. */
  stop(): Promise<number>
}

const SETTINGS = [
  ...["--dhcp", "full", "--interface", "lo", "--dhcp-range", "127.77.0.10-127.77.7.250"],
  ...["dhcp", "dhcp-proxy", "tftp", "http", "iscsi", "nbd"].flatMap((protocol) => [`--${protocol}-port`, "0"]),
  ...["--log-level", "error"],
]

/** `folder`: with `sample.raw`, `pcs.csv` and `data`. */
export const startServer = async (folder: string): Promise<SoakServer> => {
  const data = join(folder, "data")
  const imagelink = (...args: ReadonlyArray<string>) =>
    execFileSync(BIN, [...args, "--data", data], { stdio: ["ignore", "ignore", "inherit"], timeout: 60_000 })
  imagelink("image", "add", "sample", join(folder, "sample.raw"))
  imagelink("client", "import", join(folder, "pcs.csv"), "--image", "sample")
  const child = spawn(BIN, ["serve", "--json", "--data", data, ...SETTINGS], { stdio: ["ignore", "pipe", "inherit"] })
  process.once("exit", () => child.kill("SIGKILL"))
  const gone = once(child, "exit")
  const [line] = await Promise.race([
    once(createInterface({ input: child.stdout }), "line"),
    gone.then(() => Promise.reject(new Error("the server is gone"))),
  ])
  const { listeners } = JSON.parse(line as string)
  return {
    listeners,
    metrics: () => scraped(listeners.control),
    async stop() {
      const from = performance.now()
      child.kill("SIGTERM")
      await gone
      return performance.now() - from
    },
  }
}

const scraped = (socketPath: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const asked = request({ socketPath, path: "/metrics", timeout: 30_000 })
    asked.on("timeout", () => asked.destroy(new Error("no answer from /metrics")))
    asked.on("error", reject)
    asked.on("response", async (answer) => {
      let text = ""
      for await (const chunk of answer) text += chunk
      if (answer.statusCode === 200) resolve(text)
      else reject(new Error(`/metrics: ${answer.statusCode} ${text}`))
    })
    asked.end()
  })
