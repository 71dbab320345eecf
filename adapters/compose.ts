/**
 * The composition root: the only place that knows every plugin and every adapter, and the only user of the container. compose-server.ts is its other half.
 *
 *     container ─► (once, here) ─► opened site (store, views, jobs, opener) ─► server (disks, listeners)
 *
 * **Details** The container holds what can be exchanged: plugins, the host, the database under the log, clocks and randomness. Specs
 * register another value in a child container. Lifetimes are not its business: whoever opens something closes it, in reverse order.
 */
import "reflect-metadata"
import { hostname } from "node:os"
import { join, resolve } from "node:path"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import {
  type DependencyContainer,
  type InjectionToken,
  instanceCachingFactory,
  container as rootContainer,
} from "tsyringe"
import { LayerMapBudget } from "../core/block/layers/budget.ts"
import { schemaVersions } from "../core/domain/event-versions.ts"
import { fail } from "../core/errors.ts"
import type { Host } from "../core/host.ts"
import { type MakeDatabase, storeError } from "../core/log/database.ts"
import type { Actor, EventLog } from "../core/log/event-log.ts"
import { openLazyLog } from "../core/log/lazy-log.ts"
import { storeExists, storePaths } from "../core/log/store-files.ts"
import { makeUpcaster } from "../core/log/upcast.ts"
import { uuid7, uuid7RandomBytes } from "../core/log/uuid7.ts"
import { checkpointFolder } from "../core/runtime/checkpoint-folder.ts"
import { makeJobs } from "../core/runtime/job-runner.ts"
import { makeLayerStore } from "../core/runtime/layer-store.ts"
import { makeLocalSite } from "../core/runtime/local-site.ts"
import type { Parts } from "../core/runtime/parts.ts"
import type { RestoreAnswer, RestoreOptions } from "../core/runtime/restore/restore.ts"
import type { Site } from "../core/runtime/site.ts"
import { makeViews } from "../core/runtime/views.ts"
import { guardFolder } from "../core/storage/guard-folder.ts"
import { makeOpener } from "../core/storage/opener.ts"
import type { PluginRegistry } from "../core/storage/registry.ts"
import type { VolumeFolder } from "../core/storage/volume.ts"
import file from "../plugins/file/index.ts"
import { localDataFiles } from "./host/data-files.ts"
import { linuxHost } from "./host/linux.ts"
import { levelDatabase } from "./level/database.ts"

export interface Clock {
  /** UTC milliseconds. */
  readonly now: () => number
}
export type RandomBytes = (count: number) => Uint8Array

export const tokens = {
  plugin: Symbol("plugin") as InjectionToken<PluginSource>,
  registry: Symbol("registry") as InjectionToken<() => Promise<PluginRegistry>>,
  host: Symbol("host") as InjectionToken<Host>,
  database: Symbol("database") as InjectionToken<MakeDatabase>,
  clock: Symbol("clock") as InjectionToken<Clock>,
  random: Symbol("random") as InjectionToken<RandomBytes>,
}

/** A plugin by the name of its module, for messages; its value is loaded when somebody opens an image. */
export interface PluginSource {
  readonly module: string
  readonly load: () => Promise<unknown>
}

const own: ReadonlyArray<PluginSource> = [
  { module: "plugins/file", load: async () => file },
  { module: "plugins/example", load: async () => (await import("../plugins/example/index.ts")).default },
  { module: "plugins/remote", load: async () => (await import("../plugins/remote/index.ts")).default },
  { module: "plugins/formats/raw", load: async () => (await import("../plugins/formats/raw/index.ts")).default },
  { module: "plugins/formats/qcow2", load: async () => (await import("../plugins/formats/qcow2/index.ts")).default },
  { module: "plugins/formats/vhd", load: async () => (await import("../plugins/formats/vhd/index.ts")).default },
  { module: "plugins/formats/vhdx", load: async () => (await import("../plugins/formats/vhdx/index.ts")).default },
  { module: "plugins/formats/vmdk", load: async () => (await import("../plugins/formats/vmdk/index.ts")).default },
]

/** `thirdParty` answers the modules that the config names. */
export const compose = (
  thirdParty: () => Promise<ReadonlyArray<PluginSource>> = async () => [],
): DependencyContainer => {
  const container = rootContainer.createChildContainer()
  for (const plugin of own) container.register(tokens.plugin, { useValue: plugin })
  return container
    .register(tokens.registry, {
      useFactory: instanceCachingFactory((c) =>
        lazily(async () => loadRegistry([...c.resolveAll(tokens.plugin), ...(await thirdParty())])),
      ),
    })
    .register(tokens.host, { useFactory: instanceCachingFactory(() => linuxHost()) })
    .register(tokens.database, { useValue: levelDatabase })
    .register(tokens.clock, { useValue: { now: Date.now } })
    .register(tokens.random, { useValue: (count) => process.getBuiltinModule("node:crypto").randomBytes(count) })
}

/** The container with the plugins that a config names; `modules` is asked for when somebody opens an image. */
export const composeWith = (dataDir: string, modules: () => Promise<ReadonlyArray<string>>): DependencyContainer =>
  compose(async () => {
    const { loadPluginModule } = await import("./host/load-plugin.ts")
    return (await modules()).map((module) => ({ module, load: () => loadPluginModule(module, dataDir) }))
  })

const lazily = <A>(make: () => Promise<A>): (() => Promise<A>) => {
  let made: Promise<A> | undefined
  return () => (made ??= make())
}

const loadRegistry = async (plugins: ReadonlyArray<PluginSource>): Promise<PluginRegistry> => {
  const { PluginRegistry } = await import("../core/storage/registry.ts")
  const registry = new PluginRegistry()
  for (const { module, load } of plugins) registry.add(await load(), module)
  return registry
}

export interface OpenSiteOptions {
  readonly dataDir: string
  /** Make the store if there is none. */
  readonly create: boolean
  /** Open the database at once, so that whatever is wrong with it is known before anything is served. */
  readonly whole?: boolean
  readonly container?: DependencyContainer
}

export interface ThirdParty {
  /** Modules of the plugins that the data folder's config names. */
  readonly plugins?: () => Promise<ReadonlyArray<string>>
}

export interface OpenedSite {
  readonly parts: Parts
  readonly data: VolumeFolder
  readonly host: Host
  readonly random: RandomBytes
  /** What boot ids are signed with; made when it is first asked for. */
  readonly bootSecret: () => Promise<Uint8Array>
  /** Closes the log. With `unused`, a store that was made for this opening goes again if nothing was recorded in it. */
  release(options?: { readonly unused: boolean }): Promise<void>
}

/** The site of a data folder, opened by this process. @throws DATA_NOT_FOUND DATA_IN_USE STORE_DAMAGED STORE_NEWER DATA_ACCESS_DENIED */
export const openSite = async ({ plugins, ...options }: OpenSiteOptions & ThirdParty): Promise<Site> => {
  const container = options.container ?? composeWith(options.dataDir, plugins ?? (async () => []))
  const opened = await openParts({ ...options, container })
  return makeLocalSite(opened.parts, () => opened.release({ unused: true }))
}

export const openParts = async ({
  dataDir,
  create,
  whole = false,
  container = compose(),
}: OpenSiteOptions): Promise<OpenedSite> => {
  const host = container.resolve(tokens.host)
  const database = container.resolve(tokens.database)
  const { now } = container.resolve(tokens.clock)
  const random = container.resolve(tokens.random)
  const newId = () => uuid7(now(), random(uuid7RandomBytes))
  const made = !isThere(dataDir, host)
  if (made) {
    if (!create) throw fail("DATA_NOT_FOUND", { path: dataDir })
    const { createStore } = await import("../core/log/create-store.ts")
    await Effect.runPromise(createStore(dataDir, { site: siteName(), now: now(), random, database, host }))
  }
  const scope = Scope.makeUnsafe()
  const upcaster = currentShapes()
  const openLog = whole ? (await import("../core/log/level-log.ts")).openLevelLog : openLazyLog
  const open = openLog({ dir: dataDir, database, host, upcaster, server: hostname() })
  const log = await Effect.runPromise(Scope.provide(open, scope))
  const { signal } = new AbortController()
  const data = guardFolder(file.folder!({ path: dataDir }, { host, signal }), { kind: "file", path: dataDir })
  const files = localDataFiles(resolve(dataDir))
  const cacheFolder = () => join(resolve(dataDir), "cache")
  const opener = makeOpener(container.resolve(tokens.registry), { ...host, cacheFolder }, resolve(dataDir))
  const parts: Parts = {
    log,
    now,
    newId,
    views: makeViews(log, checkpointFolder(data.folder("projections"))),
    jobs: makeJobs(now, newId),
    opener,
    data,
    files,
    layers: makeLayerStore(data, files, opener),
    layerMaps: new LayerMapBudget(),
    fileLister: lazily(async () =>
      (await import("./host/sleuthkit.ts")).sleuthkit({ folder: cacheFolder(), host, newId }),
    ),
    tokens: lazily(async () => {
      const [{ openTokens, TOKENS }, { secretFile }] = await Promise.all([
        import("../core/runtime/tokens.ts"),
        import("./host/secret-file.ts"),
      ])
      return openTokens(secretFile(join(resolve(dataDir), TOKENS)), now, random)
    }),
    hostBootId: host.bootId?.(),
    sidecars: data.folder("sidecars"),
    publisher: lazily(() => makePublisher(dataDir, log, host)),
  }
  const release = async ({ unused } = { unused: false }) => {
    const remove = unused && made && (await isEmpty(log)) ? await setAside(dataDir) : () => {}
    await Effect.runPromise(Scope.close(scope, Exit.void))
    remove()
  }
  const bootSecret = async () =>
    (await import("../core/log/boot-secret.ts")).readOrMakeBootSecret(storePaths(dataDir), random)
  return { parts, data, host, random, bootSecret, release }
}

/** How events of older shapes are read. */
const currentShapes = () => makeUpcaster({ current: schemaVersions, steps: {} })

export interface RepairDataOptions {
  readonly dataDir: string
  readonly dryRun: boolean
  readonly acceptLoss: boolean
  readonly actor: Actor
  readonly container?: DependencyContainer
}

/** Mends a data folder that nobody has open. @throws DATA_NOT_FOUND DATA_IN_USE STORE_NEWER DATA_ACCESS_DENIED NO_SPACE */
export const repairData = async ({ dataDir, container = compose(), ...asked }: RepairDataOptions) => {
  const { repair } = await import("../core/runtime/repair.ts")
  const { lockHolder } = await import("../core/log/lock-holder.ts")
  const host = container.resolve(tokens.host)
  const database = container.resolve(tokens.database)
  const { now } = container.resolve(tokens.clock)
  const random = container.resolve(tokens.random)
  const { signal } = new AbortController()
  const data = guardFolder(file.folder!({ path: dataDir }, { host, signal }), { kind: "file", path: dataDir })
  const refuseInUse = () => {
    const pid = lockHolder(join(storePaths(dataDir).database, "LOCK"))
    if (pid !== undefined) throw fail("DATA_IN_USE", { path: dataDir, holder: `process ${pid}` })
  }
  try {
    return await repair({
      ...asked,
      dir: dataDir,
      database,
      upcaster: currentShapes(),
      projections: data.folder("projections"),
      sidecars: data.folder("sidecars"),
      newId: () => uuid7(now(), random(uuid7RandomBytes)),
      refuseInUse,
      open: () => openSite({ dataDir, create: false, container }),
    })
  } catch (e) {
    throw storeError(e, dataDir, host)
  }
}

const makePublisher = async (dir: string, log: EventLog, host: Host) => {
  const { Publisher } = await import("../core/log/tiles/publisher.ts")
  const { readSiteFiles } = await import("../core/log/site-files.ts")
  return new Publisher({ dir, log, host, key: () => readSiteFiles(storePaths(dir)).key })
}

/** Asked of the database itself, so that its lock is held from here on: somebody else may have begun to use the store. */
const isEmpty = (log: EventLog): Promise<boolean> =>
  Effect.runPromise(log.page(0, 1)).then(
    (page) => page.length === 0,
    () => false,
  )

const setAside = async (dataDir: string): Promise<() => void> =>
  (await import("../core/log/discard-store.ts")).setStoreAside(dataDir)

const isThere = (dataDir: string, host: Host): boolean => {
  try {
    return storeExists(dataDir)
  } catch (e) {
    throw storeError(e, dataDir, host)
  }
}

/** The machine's name, less what a site's name may not hold. */
const siteName = (): string =>
  hostname()
    .replaceAll(/[^\x21-\x2a\x2c-\x7e]/g, "-")
    .slice(0, 64) || "imagelink"

/** Restores a backup into a data folder, which nobody has open. @throws see core/runtime/restore/restore.ts */
export const restoreSite = async (options: RestoreOptions): Promise<RestoreAnswer> => {
  const { restore } = await import("../core/runtime/restore/restore.ts")
  const container = compose()
  const { now } = container.resolve(tokens.clock)
  const random = container.resolve(tokens.random)
  const newId = () => uuid7(now(), random(uuid7RandomBytes))
  const [database, host] = [container.resolve(tokens.database), container.resolve(tokens.host)]
  const open = (dataDir: string) => openParts({ dataDir, create: false, container })
  return restore({ now, newId, random, database, host, open }, options)
}

/** The installed plugins, and the conformance suites to check them with. */
export const pluginKit = async (dataDir: string, modules: () => Promise<ReadonlyArray<string>>) => {
  const container = composeWith(dataDir, modules)
  const [{ checkFormat, checkStorage }, { installed }] = await Promise.all([
    import("../specs/conformance/support/installed.ts"),
    container.resolve(tokens.registry)(),
  ])
  return { installed, host: container.resolve(tokens.host), checkFormat, checkStorage }
}
