/** Real servers for interop specs: started on a port of their own, waited for until they answer, and ended by their own process. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdir, writeFile } from "node:fs/promises"
import { type AddressInfo, connect, createServer } from "node:net"
import { join } from "node:path"

export interface Daemon {
  readonly port: number
  stop(): Promise<void>
}

export const freePort = async (): Promise<number> => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** Starts a program that stays in the foreground. */
export const startDaemon = async (
  tool: string,
  args: ReadonlyArray<string>,
  port: number,
  env: Readonly<Record<string, string>> = {},
): Promise<Daemon> => {
  const path = `${process.env.PATH}:/usr/sbin:/sbin`
  const child = spawn(tool, [...args], {
    env: { ...process.env, ...env, PATH: path },
    stdio: ["ignore", "pipe", "pipe"],
  })
  let said = ""
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (piece) => (said = `${said}${piece}`.slice(-4000)))
  for (let tries = 0; tries < 600; tries++) {
    if (child.exitCode !== null) throw new Error(`${tool} ${args.join(" ")} ended with ${child.exitCode}: ${said}`)
    if (await answers(port)) return { port, stop: () => end(child) }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  await end(child)
  throw new Error(`${tool} did not listen on ${port}: ${said}`)
}

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" })
    socket.on("connect", () => {
      socket.destroy()
      resolve(true)
    })
    socket.on("error", () => resolve(false))
  })

const end = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, "exit")
  child.kill("SIGTERM")
  const late = setTimeout(() => child.kill("SIGKILL"), 5000)
  await ended
  clearTimeout(late)
}

/** nginx over a folder of files; `server` is more configuration for it, `extra` more servers. */
export const startNginx = async (
  folder: string,
  root: string,
  {
    server = "",
    tls,
  }: { readonly server?: string; readonly tls?: { readonly certificate: string; readonly key: string } } = {},
): Promise<Daemon> => {
  const port = await freePort()
  await mkdir(folder, { recursive: true })
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((of) => `${of}_temp_path ${folder}/${of};`)
  const secure = tls === undefined ? "" : `ssl_certificate ${tls.certificate}; ssl_certificate_key ${tls.key};`
  const text = `
daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/error.log;
${process.getuid?.() === 0 ? "user root;" : ""}
events { worker_connections 256; }
http {
  access_log off; sendfile on; tcp_nodelay on; keepalive_requests 100000;
  ${temporary.join(" ")}
  server { listen 127.0.0.1:${port}${tls === undefined ? "" : " ssl"}; root ${root}; ${secure} ${server} }
}
`
  await writeFile(join(folder, "nginx.conf"), text)
  return startDaemon("nginx", ["-p", folder, "-e", `${folder}/error.log`, "-c", join(folder, "nginx.conf")], port)
}
