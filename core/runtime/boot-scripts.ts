/**
 * Boot scripts as a service: rendered for the client that asks, with a boot id of its own.
 *
 * **Details** A boot id is made for a script that is really fetched, by the client it is for: from its recorded address, from loopback, or from anywhere
 * where no address is recorded. Whoever else asks, and whoever asks for the head or a preview only, gets none. What the image is
 * read from is opened before the script is given out, so that what is wrong with it is shown on the client's screen.
 *
 * **Gotchas** A next boot from the computer's own disk is over when its script was fetched, because nothing is heard of it afterwards; any other is over
 * when its disk is first used (logins.ts).
 */
import { BlockList, isIPv4 } from "node:net"
import type { Catalogue, ClientEntry } from "../domain/catalogue.ts"
import { findClient } from "../domain/lookup.ts"
import { fail, ImagelinkError, isImagelinkError } from "../errors.ts"
import { bootName, PREVIEW } from "./boot-ids.ts"
import { type BootFacts, menuImages, planBoot, refusedPlan } from "./boot-plan.ts"
import { type BootPlan, bootScript, type DiskPlan } from "./boot-script.ts"
import type { BootSigns } from "./boot-signs.ts"
import type { Boots } from "./boots.ts"
import type { ImageStacks } from "./image-stacks.ts"
import type { MachineModel } from "./machine-model.ts"
import type { Registrar } from "./registration.ts"
import type { Twins } from "./twins.ts"
import { versionRef } from "./version-ref.ts"

/** As long as a boot id, and its half as a password, so that the head of an answer says its length. */
const HEAD = "x".repeat(48)

export interface ScriptAsked {
  /** `52:54:00:00:00:01` */
  readonly mac: string
  readonly peer: string
  /** Address that was connected to. */
  readonly local: string
  /** The address that the client knows the server by; behind a port forwarding it is another. */
  readonly server: string
  /** `http://192.0.2.10:8080`, as the client wrote it. */
  readonly http: string
  /** `image=NAME` or `local`, from the menu; `register=NAME`, where a name was asked for. */
  readonly choice: string
  /** What it says of itself. */
  readonly model?: MachineModel | undefined
  /** Only its length is asked for. */
  readonly head: boolean
  /** What it would say is asked for. As for a head, nothing is made and nothing changes. */
  readonly preview?: boolean
}

export interface BootScripts {
  script(asked: ScriptAsked): Promise<string>
}

export interface BootScriptsOptions {
  readonly catalogue: () => Catalogue
  readonly stacks: ImageStacks
  readonly boots: Boots
  readonly iscsiPort: number | undefined
  /** The client's target asks for a secret, besides those of super clients. */
  readonly asksForSecret?: (client: ClientEntry) => boolean
  /** Prefix length of the network that one of this machine's addresses is in. */
  readonly prefixOf: (address: string) => number | undefined
  /** Sets or takes back what a client's next boot is given. */
  readonly setNextBoot: (client: ClientEntry, image: string | null) => Promise<unknown>
  readonly registrar: Registrar
  readonly twins: Pick<Twins, "refused">
  /** Told of every script that is given out. */
  readonly signs: BootSigns
  readonly onProblem: (text: string) => void
}

/** Nobody boots from what is answered. */
const isIdle = ({ head, preview = false }: Pick<ScriptAsked, "head" | "preview">): boolean => head || preview

const isLoopback = (address: string): boolean => address === "::1" || address.startsWith("127.")

export const inSameSubnet = (server: string, prefix: number | undefined, peer: string): boolean => {
  if (prefix === undefined || !isIPv4(server) || !isIPv4(peer)) return false
  const network = new BlockList()
  network.addSubnet(server, prefix)
  return network.check(peer)
}

export const scriptUrl = (http: string, mac: string): string => `${http}/boot/${mac.replaceAll(":", "-")}.ipxe`

const isAdmitted = ({ address }: ClientEntry, peer: string): boolean =>
  address === null || address === peer || isLoopback(peer)

interface Wanted {
  readonly catalogue: () => Catalogue
  /** Without them, images are not looked at. */
  readonly stacks: ImageStacks | undefined
  readonly client: ClientEntry
  readonly facts: BootFacts
  readonly issue: (client: ClientEntry) => Promise<BootKeys>
}

/** What a boot is known by. */
export type BootKeys = Pick<DiskPlan, "bootId" | "password">

/** A super client's writes become everybody's: its script always says a password. */
export const isSuper = ({ links }: ClientEntry): boolean => [...links.values()].some((l) => l.superVersion !== null)

/** The client's plan, with what is missing in place of a disk that cannot be opened. */
export const planFor = async ({ catalogue, stacks, client, facts, issue }: Wanted): Promise<BootPlan> => {
  try {
    const { plan, on } = planBoot(catalogue(), client, facts)
    if (plan.kind !== "disk" || on === undefined) return plan
    const hold = await stacks?.open(versionRef(catalogue(), on.imageId, on.version))
    await hold?.release()
    return { ...plan, ...(await issue(client)) }
  } catch (e) {
    if (isImagelinkError(e)) return refusedPlan(catalogue(), client, e, facts)
    throw e
  }
}

export const makeBootScripts = (options: BootScriptsOptions): BootScripts => {
  const { catalogue, stacks, boots, iscsiPort, prefixOf, setNextBoot, registrar, twins, signs, onProblem } = options
  const { asksForSecret = () => false } = options

  const withPassword = (client: ClientEntry) => isSuper(client) || asksForSecret(client)
  const issueHead = async (client: ClientEntry): Promise<BootKeys> =>
    withPassword(client) ? { bootId: HEAD, password: HEAD.slice(HEAD.length / 2) } : { bootId: HEAD }
  const issuePreview = async (client: ClientEntry): Promise<BootKeys> =>
    withPassword(client) ? { bootId: PREVIEW, password: PREVIEW } : { bootId: PREVIEW }
  const issue = async (client: ClientEntry): Promise<BootKeys> => {
    const bootId = await boots.issue(client)
    const password = withPassword(client) ? boots.password(client, bootId) : undefined
    return password === undefined ? { bootId } : { bootId, password }
  }

  /** What was chosen from the menu, where it was one of its items. */
  const choose = async (client: ClientEntry, asked: ScriptAsked): Promise<BootFacts["chosen"]> => {
    const { choice } = asked
    if (choice === "local") return "local"
    const image = choice.startsWith("image=") ? choice.slice("image=".length) : undefined
    const images = menuImages(catalogue(), client)
    if (image === undefined || !images.includes(image)) return undefined
    // The linked one is what it gets anyway.
    if (image !== images[0] && !isIdle(asked)) await setNextBoot(client, image)
    return "disk"
  }

  const clear = async (client: ClientEntry): Promise<void> => {
    try {
      await setNextBoot(client, null)
    } catch (e) {
      const why = e instanceof Error ? e.message : String(e)
      onProblem(`${client.name} boots from its own disk, and will again: that it has was not recorded: ${why}`)
    }
  }

  /** Undefined when it is registered now. */
  const register = async (asked: ScriptAsked, script: string): Promise<BootPlan | undefined> => {
    const { mac, choice } = asked
    const { mode } = registrar
    const said = choice.startsWith("register=")
    const unregistered: BootPlan = { kind: "unregistered", mac, ask: mode === "ask" && !said, script }
    if (isIdle(asked) || (mode === "ask" && !said)) return unregistered
    try {
      const name = mode === "ask" ? choice.slice("register=".length) : ""
      return (await registrar.register(mac, name)) ? undefined : unregistered
    } catch (e) {
      if (!isImagelinkError(e)) throw e
      onProblem(`${mac} was not registered: ${e.message} [${e.code}]; ${e.reason}; fix: ${e.fix}`)
      return { kind: "refused", client: mac, error: e.toJSON(), fallback: false, script }
    }
  }

  const tell = ({ mac, peer, model }: ScriptAsked, plan: BootPlan, own: boolean): void => {
    const boot = plan.kind === "disk" ? bootName(plan.bootId) : undefined
    const told = model === undefined ? {} : { model }
    signs.take({ type: "script", mac, address: peer, own, plan: plan.kind, boot, problem: problemOf(plan), ...told })
  }

  /** For a client that asks from where it may. */
  const planned = async (client: ClientEntry, asked: ScriptAsked, url: string): Promise<BootPlan> => {
    const { peer, local, server, head, preview } = asked
    const twice = head || preview ? undefined : await twins.refused(client)
    if (twice !== undefined) return refusedPlan(catalogue(), client, twice, { script: url })
    const chosen = await choose(client, asked).catch((e: unknown) => {
      if (isImagelinkError(e)) return e
      throw e
    })
    if (chosen instanceof ImagelinkError) return refusedPlan(catalogue(), client, chosen, { script: url })
    // From the server itself it is asked for by somebody who wants to see what the client gets.
    const of = isLoopback(peer) ? (client.address ?? peer) : peer
    const sameSubnet = inSameSubnet(local, prefixOf(local), of)
    const facts = { server, iscsiPort, script: url, sameSubnet, ...(chosen === undefined ? {} : { chosen }) }
    const now = catalogue().clients.get(client.id) ?? client
    const keys = preview ? issuePreview : head ? issueHead : issue
    const plan = await planFor({ catalogue, stacks, client: now, facts, issue: keys })
    if (plan.kind === "local" && now.nextBoot !== null && !isIdle(asked)) await clear(now)
    return plan
  }

  const script = async (asked: ScriptAsked): Promise<string> => {
    const { mac, peer, http } = asked
    const url = scriptUrl(http, mac)
    const client = findClient(catalogue(), mac)
    if (client instanceof ImagelinkError) {
      const unknown = await register(asked, url)
      if (unknown === undefined) return script(asked)
      if (!isIdle(asked)) tell(asked, unknown, !isLoopback(peer))
      return bootScript(unknown)
    }
    if (!isAdmitted(client, peer)) {
      const denied = fail("SCRIPT_DENIED", { client: client.name, peer, address: client.address ?? "" })
      if (!asked.preview) signs.take({ type: "problem", mac, text: problemText(denied) })
      return bootScript(refusedPlan(catalogue(), client, denied, { script: url }))
    }
    const plan = await planned(client, asked, url)
    if (!isIdle(asked)) tell(asked, plan, peer === client.address || !isLoopback(peer))
    return bootScript(plan)
  }
  return { script }
}

const problemText = ({ message, code }: { readonly message: string; readonly code: string }): string =>
  `${message} [${code}]`

const problemOf = (plan: BootPlan): string | undefined => {
  if (plan.kind === "unregistered") return "nobody registered it"
  return plan.kind === "refused" ? problemText(plan.error) : undefined
}
