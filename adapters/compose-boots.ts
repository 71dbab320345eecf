/** What PCs are told when they boot: their scripts, the password of a boot, and who may register. */
import { networkInterfaces } from "node:os"
import { findClient } from "../core/domain/lookup.ts"
import { ImagelinkError } from "../core/errors.ts"
import { catalogueProjection } from "../core/projections/catalogue.ts"
import type { BootServer } from "../core/runtime/boot-preview.ts"
import { type BootScripts, isSuper, makeBootScripts } from "../core/runtime/boot-scripts.ts"
import { makeRegistrar } from "../core/runtime/registration.ts"
import type { ServedDisks } from "./compose-disks.ts"
import { isWildcard, type Listeners, portOf, type Run, serverActor } from "./compose-run.ts"
import type { SecretOf } from "./iscsi/secrets.ts"

/** Of a boot that this site made for this client. */
export type BootPasswordOf = (
  client: string,
  boot: string,
) => { readonly password: string; readonly isSuper: boolean } | undefined

export interface BootAnswers {
  scripts(iscsiPort: number | undefined, secretOf: SecretOf): BootScripts
  readonly bootPassword: BootPasswordOf
}

export const bootAnswers = async (
  run: Run,
  { serving, tracker, change }: Pick<ServedDisks, "serving" | "tracker" | "change">,
): Promise<BootAnswers> => {
  const { parts } = run.opened
  const { stacks, boots, twins } = serving
  const projector = await parts.views.projector(catalogueProjection)
  const catalogue = () => projector.state(catalogueProjection)
  const registrar = makeRegistrar({
    mode: () => run.config.registration,
    defaultImage: () => run.config.defaultImage,
    now: parts.now,
    add: (client) => {
      const rows = [{ line: 1, clientId: parts.newId(), ...client }]
      return change({ type: "ImportClients", rows, file: "registration" }, { actor: serverActor })
    },
  })
  return {
    scripts: (iscsiPort, secretOf) =>
      makeBootScripts({
        ...{ catalogue, stacks, boots, iscsiPort, prefixOf, registrar, twins, signs: tracker },
        onProblem: run.problem,
        asksForSecret: ({ name }) => secretOf({ client: name.toLowerCase(), boot: undefined }) !== undefined,
        setNextBoot: ({ mac }, image) =>
          change(
            { type: "SetNextBoot", clients: [mac], to: image === null ? null : { kind: "image", image } },
            { actor: serverActor },
          ),
      }),
    bootPassword(name, boot) {
      const client = findClient(catalogue(), name)
      if (client instanceof ImagelinkError) return undefined
      const password = boots.password(client, boot)
      return password === undefined ? undefined : { password, isSuper: isSuper(client) }
    },
  }
}

/** What previews of scripts name. */
export const bootServerAt = ({ config }: Run, { iscsi, http }: Listeners): BootServer => {
  const address = isWildcard(config.address) ? undefined : config.address
  return { address, httpPort: portOf(http), iscsiPort: portOf(iscsi), prefixOf }
}

/** Prefix length of the network that one of this machine's addresses is in. */
const prefixOf = (address: string): number | undefined => {
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
  const cidr = own.find((one) => one.address === address)?.cidr
  return typeof cidr === "string" ? Number(cidr.split("/")[1]) : undefined
}
