/** The API with a certificate, asked by curl and by the command line: with it and with nothing less. */
import { execFileSync, spawn } from "node:child_process"
import { join } from "node:path"
import { expect, it } from "vitest"
import { imagelink, json, scratch } from "../support/cli.ts"
import { requires } from "../support/requires.ts"
import { serveApi } from "./support.ts"

const spec = "tls.spec.ts"
const skip = requires("openssl", "openssl", spec).skip || requires("curl", "curl", spec).skip
const dir = scratch("tls")
const [cert, key] = [join(dir, "server.pem"), join(dir, "server.key")]
if (!skip)
  execFileSync(
    "openssl",
    [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
      ...["-subj", "/CN=imagelink", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
    ],
    { stdio: "pipe" },
  )

it.skipIf(skip)("answers who trusts its certificate, over TLS 1.2 and later, and nobody in clear", async () => {
  const site = await serveApi("api-tls", { "api-cert": cert, "api-key": key })
  await site.do("client.add", { mac: "525400000001", name: "PC-001" })
  const token = await site.token("viewer")
  const at = `127.0.0.1:${site.server.listeners.api!.split(":").at(-1)}`
  const curl = (...args: ReadonlyArray<string>) => {
    const words = ["--silent", "--max-time", "20", "--header", `Authorization: Bearer ${token}`, ...args]
    return new Promise<{ status: number | null; stdout: string }>((resolve) => {
      // Not spawnSync: the server is this process.
      const child = spawn("curl", words, { stdio: ["ignore", "pipe", "ignore"] })
      let stdout = ""
      child.stdout.on("data", (chunk: Buffer) => {
        stdout += chunk
      })
      child.once("close", (status) => resolve({ status, stdout }))
    })
  }
  const asked = await curl("--cacert", cert, `https://${at}/api/v1/clients`)
  expect([asked.status, JSON.parse(asked.stdout)[0].name]).toEqual([0, "PC-001"])
  expect((await curl("--cacert", cert, "--tlsv1.2", "--tls-max", "1.2", `https://${at}/api/v1/clients`)).status).toBe(0)
  expect((await curl(`https://${at}/api/v1/clients`)).status).not.toBe(0)
  expect(
    (await curl("--cacert", cert, "--tlsv1.0", "--tls-max", "1.1", `https://${at}/api/v1/clients`)).status,
  ).not.toBe(0)
  expect((await curl(`http://${at}/api/v1/clients`)).status).not.toBe(0)
  const env = { IMAGELINK_TOKEN: token, IMAGELINK_CA: cert }
  const rows = await json<ReadonlyArray<object>>(["client", "list", "--server", `https://${at}`], { env })
  expect(rows).toMatchObject([{ name: "PC-001" }])
  const untrusted = await imagelink(["client", "list", "--server", `https://${at}`], {
    env: { IMAGELINK_TOKEN: token },
  })
  expect(untrusted.status).toBe(4)
})
