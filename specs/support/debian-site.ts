/**
 * A site whose clients are PCs that run Debian: its server in a network of its own, and the operator's commands.
 *
 *     const site = debianSite(["discard", "keep"])     PC-001 and PC-002, linked to the image `debian`
 *     beforeAll(site.start, START_MILLIS)
 *     const pc = await site.boot(1)
 *
 * **Gotchas** It is made outside of any hook: what it starts ends with the spec file.
 */
import { join } from "node:path"
import { afterAll, expect } from "vitest"
import { imagelink, type Served, scratch, startServe } from "./cli.ts"
import { BUILD_SECONDS, debianImage } from "./debian-image.ts"
import { type Booting, type Debian, type DebianInput, powerOn } from "./debian-machine.ts"
import { advertiseRouter, makeNetwork, type Network, SERVER } from "./network.ts"

/** Else with BIOS, and by the small init. */
export type HowToBoot = Partial<DebianInput>

export interface DebianSite {
  readonly folder: string
  readonly data: string
  readonly network: Network
  start(): Promise<void>
  server(): Served
  /** Starts it, where it was stopped or killed. */
  serve(): Promise<void>
  /** An operator's command, which must succeed. */
  ok(...args: ReadonlyArray<string>): Promise<string>
  boot(n: number, how?: HowToBoot): Promise<Debian>
  /** The same, of one that may not come to run. */
  switchOn(n: number, how?: HowToBoot): Booting
}

export interface DebianSiteOptions {
  /** They come from anywhere: DHCP lends them an address, and a boot id is all that their scripts ask for. */
  readonly fromAnywhere?: boolean
}

export const START_MILLIS = (BUILD_SECONDS + 120) * 1000

const OPTIONS = [
  ...["--address", SERVER, "--interface", "br0", "--dhcp", "full", "--log-level", "debug"],
  ...["--tftp-port", "69", "--http-port", "8080", "--iscsi-port", "3260"],
]

export const pc = (n: number): string => `PC-00${n}`
export const macOf = (n: number): string => `52:54:00:00:00:0${n}`

export const debianSite = (
  overlays: ReadonlyArray<"discard" | "keep">,
  { fromAnywhere = false }: DebianSiteOptions = {},
): DebianSite => {
  const folder = scratch("debian")
  const data = join(folder, "data")
  const network = makeNetwork()
  let server: Served | undefined
  const router = advertiseRouter(network)
  router.catch(() => {})
  afterAll(() => server?.stop())

  const ok = async (...args: ReadonlyArray<string>) => {
    const { status, stdout, stderr } = await imagelink(args, { data })
    expect(status, `imagelink ${args.join(" ")}: ${stderr}`).toBe(0)
    return stdout
  }
  const serve = async () => {
    const lent = fromAnywhere ? ["--dhcp-range", "10.77.0.50-10.77.0.60"] : []
    server = await startServe(data, [...OPTIONS, ...lent], { inside: network.inside })
  }
  const switchOn: DebianSite["switchOn"] = (n, how) => powerOn({ folder, network, mac: macOf(n), ...how })
  return {
    folder,
    data,
    network,
    server: () => server!,
    ok,
    serve,
    async start() {
      await ok("image", "add", "debian", await debianImage())
      for (const [i, overlay] of overlays.entries()) {
        const address = fromAnywhere ? [] : ["--ip", `10.77.0.1${i + 1}`]
        await ok("client", "add", macOf(i + 1), "--name", pc(i + 1), ...address)
        await ok("client", "link", pc(i + 1), "debian", "--overlay", overlay)
      }
      await router
      await serve()
    },
    switchOn,
    boot: (n, how) => switchOn(n, how).ready,
  }
}
