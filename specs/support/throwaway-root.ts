/**
 * This machine's own Debian to try a package on, without a change to it: its root behind an overlay in RAM, in namespaces of its own.
 *
 *     namespaces (mount, process, network) ─ overlay ─┬─ tmpfs   what is written
 *                                                     └─ /       read only
 *
 * **Details** Needs root. `shared` is seen as /srv inside. There is loopback and no other network. It ends with the pipe that holds it, and everything
 * that runs inside with it.
 */
import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { promisify } from "node:util"
import { afterAll } from "vitest"
import { type Requirement, requires, skipAloud } from "./requires.ts"

export const requiresThrowawayRoot = (spec: string): Requirement => {
  for (const tool of ["unshare", "nsenter", "setpriv"]) {
    const here = requires(tool, "util-linux", spec)
    if (here.skip) return here
  }
  return process.getuid?.() === 0 ? requires("dpkg", "dpkg", spec) : skipAloud(spec, "needs root, to make namespaces")
}

const MOUNTS = `set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$1/root"
cd "$1/root" && mkdir upper work merged
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work merged
mount -t proc proc merged/proc
mount --rbind /dev merged/dev
mount -t tmpfs tmpfs merged/run
mount -t tmpfs tmpfs merged/tmp
mount --bind "$1" merged/srv
ip link set lo up
echo ready
# the shell stays, to bury orphans
cat; exit`

export interface ThrowawayRoot {
  /** Words that run a command inside. */
  readonly inside: ReadonlyArray<string>
  /** Runs a line of sh inside: what it said on both outputs. @throws what it said, where it failed */
  sh(line: string, millisMax?: number): Promise<string>
}

/** `shared` holds an empty folder `root`. */
export const throwawayRoot = async (shared: string): Promise<ThrowawayRoot> => {
  const unshare = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--propagation", "private"]
  const holder = spawn("unshare", [...unshare, "sh", "-c", MOUNTS, "sh", shared], {
    stdio: ["pipe", "pipe", "inherit"],
  })
  afterAll(async () => {
    if (holder.exitCode !== null) return
    const gone = once(holder, "exit")
    holder.stdin.end()
    await gone
  })
  const [said] = (await Promise.race([once(holder.stdout, "data"), once(holder, "exit")])) as [unknown]
  if (String(said) !== "ready\n") throw new Error(`there is no throwaway root: unshare ended with ${said}`)
  const child = readFileSync(`/proc/${holder.pid}/task/${holder.pid}/children`, "utf8").trim()
  const namespaces = ["nsenter", "--target", child, "--mount", "--net", "--pid"]
  const inside = [...namespaces, "chroot", `${shared}/root/merged`]
  const sh = async (line: string, millisMax = 60_000) => {
    const [file, ...args] = [...inside, "sh", "-c", `exec 2>&1; ${line}`]
    const env = {
      PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      HOME: "/root",
      LC_ALL: "C.UTF-8",
    }
    try {
      return (await promisify(execFile)(file!, args, { env, timeout: millisMax })).stdout
    } catch (e) {
      throw new Error(`${line}: ${(e as Error).message}\n${(e as { readonly stdout?: string }).stdout ?? ""}`)
    }
  }
  return { inside, sh }
}
