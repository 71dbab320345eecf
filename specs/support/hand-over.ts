/**
 * Opens a UDP socket on every address, kept to one interface, and runs a command with it as descriptor 3, as a service manager does.
 *
 *     node hand-over.ts PORT INTERFACE UID COMMAND…
 *
 * **Details** The command runs as that user, so it could not open the port itself. Its signals and its exit code are passed on.
 */
import { spawn } from "node:child_process"
import { createSocket } from "node:dgram"
import { loadLibc } from "../../adapters/host/libc.ts"

const [port, device = "", uid, ...command] = process.argv.slice(2)
const socket = createSocket({ type: "udp4", reuseAddr: true })
const state = Object.getOwnPropertySymbols(socket).find((s) => s.description === "state symbol")!
socket.bind(Number(port), () => {
  const { fd } = (socket as unknown as Record<symbol, { handle: { fd: number } }>)[state]!.handle
  if (!loadLibc()?.bindToDevice(fd, device)) throw new Error(`the socket cannot be kept to ${device}`)
  const run = ["-c", 'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=dhcp exec "$@"', "sh", ...command]
  const child = spawn("sh", run, { stdio: ["ignore", "inherit", "inherit", fd], uid: Number(uid), gid: Number(uid) })
  socket.close()
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => child.kill(signal))
  child.once("exit", (code) => {
    process.exitCode = code ?? 1
    process.removeAllListeners()
  })
})
