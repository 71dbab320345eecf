/**
 * A site whose store this process has open: its operations, each family loaded when it is first asked for.
 *
 * Printing the link table must not pay for the modules that decide commands.
 */
import { fail } from "../errors.ts"
import type { Parts } from "./parts.ts"
import type { CallOptions, Input, OperationName, Operations, Result, Site } from "./site.ts"

type Family = (parts: Parts) => Partial<Operations>

const families = {
  image: async (): Promise<Family> => (await import("./operations/images.ts")).imageOperations,
  client: async (): Promise<Family> => (await import("./operations/clients.ts")).clientOperations,
  action: async (): Promise<Family> => (await import("./operations/client-actions.ts")).clientActions,
  group: async (): Promise<Family> => (await import("./operations/groups.ts")).groupOperations,
  view: async (): Promise<Family> => (await import("./operations/views.ts")).viewOperations,
  time: async (): Promise<Family> => (await import("./operations/time.ts")).timeOperations,
  log: async (): Promise<Family> => (await import("./operations/log.ts")).logOperations,
  version: async (): Promise<Family> => (await import("./operations/versions.ts")).versionOperations,
  place: async (): Promise<Family> => (await import("./operations/place.ts")).placeOperations,
  heat: async (): Promise<Family> => (await import("./operations/heat.ts")).heatOperations,
  commit: async (): Promise<Family> => (await import("./operations/commit.ts")).commitOperations,
  flatten: async (): Promise<Family> => (await import("./operations/flatten.ts")).flattenOperations,
  diff: async (): Promise<Family> => (await import("./operations/image-diff.ts")).diffOperations,
  draft: async (): Promise<Family> => (await import("./operations/drafts.ts")).draftOperations,
  boot: async (): Promise<Family> => (await import("./operations/boots.ts")).bootOperations,
  audit: async (): Promise<Family> => (await import("./operations/audit.ts")).auditOperations,
  backup: async (): Promise<Family> => (await import("./operations/backup.ts")).backupOperations,
  token: async (): Promise<Family> => (await import("./operations/tokens.ts")).tokenOperations,
  restore: async (): Promise<Family> => (await import("./operations/restore.ts")).restoreOperations,
  status: async (): Promise<Family> => (await import("./operations/status.ts")).statusOperations,
}

const familyOf: Readonly<Record<OperationName, keyof typeof families>> = {
  "image.add": "image",
  "image.check": "image",
  "image.list": "image",
  "image.relocate": "image",
  "image.remove": "image",
  "client.add": "client",
  "client.import": "client",
  "client.copy": "client",
  "client.list": "client",
  "client.link": "client",
  "client.unlink": "client",
  "client.reset": "client",
  "client.set": "client",
  "client.remove": "client",
  "client.disconnect": "action",
  "client.wake": "action",
  "client.request-reboot": "action",
  "image.create": "draft",
  "image.seal": "draft",
  "image.commit": "commit",
  "image.diff": "diff",
  "image.flatten": "flatten",
  "image.retire": "version",
  "image.place": "place",
  "image.rollback": "version",
  "image.heat": "heat",
  "image.record": "heat",
  "heat.export": "heat",
  "heat.import": "heat",
  "client.set-super": "version",
  "client.clear-super": "version",
  "client.next-boot": "version",
  boots: "boot",
  "boots.live": "boot",
  "client.script": "boot",
  "group.create": "group",
  "group.change": "group",
  "group.link": "group",
  "group.unlink": "group",
  "group.remove": "group",
  "group.list": "group",
  "group.show": "group",
  links: "view",
  history: "view",
  log: "log",
  "links.at": "time",
  "links.diff": "time",
  "image.show": "time",
  "client.show": "time",
  rebuild: "view",
  "rebuild.check": "view",
  jobs: "view",
  "job.cancel": "view",
  "audit.key": "audit",
  "audit.checkpoint": "audit",
  "audit.verify": "audit",
  "audit.prove": "audit",
  "audit.consistency": "audit",
  "audit.export": "audit",
  backup: "backup",
  "links.restore": "restore",
  "token.create": "token",
  "token.list": "token",
  "token.revoke": "token",
  status: "status",
  "config.reload": "status",
}

export const operationNames: ReadonlySet<string> = new Set(Object.keys(familyOf))

/** `release` is called once, after everything else was closed. */
export const makeLocalSite = (parts: Parts, release: () => Promise<void>): Site => {
  const loaded = new Map<string, Promise<Partial<Operations>>>()
  let closing: Promise<void> | undefined

  const operationsOf = (family: keyof typeof families): Promise<Partial<Operations>> => {
    const operations = loaded.get(family) ?? families[family]().then((make) => make(parts))
    loaded.set(family, operations)
    return operations
  }

  const close = async () => {
    await parts.jobs.close()
    await parts.views.close()
    await release()
  }

  return {
    via: "local",
    async call<N extends OperationName>(name: N, input: Input<N>, options: CallOptions<never>): Promise<Result<N>> {
      if (closing !== undefined) throw fail("CLOSED", { what: "the site" })
      const operation = (await operationsOf(familyOf[name]))[name] as (
        input: Input<N>,
        options: CallOptions<never>,
      ) => Promise<Result<N>>
      return operation(input, options)
    },
    close: () => (closing ??= close()),
  }
}
