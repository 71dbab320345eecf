/** Checks of what a plugin does around its bytes: descriptors it keeps, networks it crosses, and what another process sees. */
import assert from "node:assert/strict"
import { createHook } from "node:async_hooks"
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { readdirSync } from "node:fs"
import { text } from "node:stream/consumers"
import { pathToFileURL } from "node:url"
import { readRange, settle, someTurns } from "../support/volumes.ts"
import type { StoragePluginSubject } from "./sample.ts"
import { accepted, context, type StorageCheck, withSample } from "./subject.ts"

const ROUNDS = 16
const OTHER_PROCESS_MILLIS = 30_000

/** Asynchronous resources that mean a network: a TCP connection, a datagram, a name that is looked up. */
const NETWORK: ReadonlySet<string> = new Set(["TCPCONNECTWRAP", "UDPSENDWRAP", "GETADDRINFOREQWRAP", "QUERYWRAP"])

export const surroundingChecks: ReadonlyArray<StorageCheck> = [
  {
    name: "keeps no descriptor when it is closed, nor when opening fails",
    skip: () => (descriptors() === undefined ? "this system does not tell a process's descriptors" : undefined),
    async run(subject) {
      const missing = subject.missing === undefined ? undefined : await accepted(subject, subject.missing.config)
      const before = descriptors()!
      for (let i = 0; i < ROUNDS; i++) {
        await withSample(subject, async ({ volume, bytes }) => readRange(volume, bytes.length - 1, 1))
        if (missing !== undefined) await settle(subject.plugin.open(missing, context(subject)))
      }
      await someTurns()
      const more = descriptors()! - before
      assert.ok(more < ROUNDS / 2, `${ROUNDS} openings left ${more} more descriptors open`)
    },
  },
  {
    name: "crosses no network when the manifest says local: true",
    skip: ({ plugin }) => (plugin.manifest.local ? undefined : "the manifest says local: false"),
    async run(subject) {
      const sample = await subject.sample()
      const config = await accepted(subject, sample.config)
      const seen: Array<string> = []
      const hook = createHook({ init: (_, type) => void (NETWORK.has(type) && seen.push(type)) })
      try {
        hook.enable()
        const volume = await subject.plugin.open(config, context(subject))
        await readRange(volume, 0, sample.bytes.length)
        await volume.close()
      } finally {
        hook.disable()
        await sample.release?.()
      }
      assert.deepEqual(seen, [], "opening, reading or closing used the network")
    },
  },
  {
    name: "shows the same bytes to another process",
    skip: ({ plugin }) => (plugin.manifest.persistent ? undefined : "the manifest says persistent: false"),
    async run(subject) {
      if (subject.module === undefined) return "the subject does not say where the plugin's module is"
      const sample = await subject.sample()
      try {
        const expected = createHash("sha256").update(sample.bytes).digest("hex")
        assert.equal(await hashElsewhere(subject, sample.config), expected, "the hash of all bytes, in another process")
      } finally {
        await sample.release?.()
      }
      return undefined
    },
  },
]

const descriptors = (): number | undefined => {
  try {
    return readdirSync("/proc/self/fd").length
  } catch {
    return undefined
  }
}

const script = `
import { createHash } from "node:crypto"
import { json } from "node:stream/consumers"
const { module, config } = await json(process.stdin)
const { default: plugin } = await import(module)
const given = plugin.config === undefined ? config : (await plugin.config["~standard"].validate(config)).value
const volume = await plugin.open(given, { signal: new AbortController().signal, host: {} })
const bytes = new Uint8Array(volume.sizeBytes)
await volume.read(bytes, 0, 0, bytes.length)
await volume.close()
process.stdout.write(createHash("sha256").update(bytes).digest("hex"))
`

const hashElsewhere = async ({ module = "" }: StoragePluginSubject, config: unknown): Promise<string> => {
  const { NODE_TEST_CONTEXT: _, NODE_OPTIONS: __, ...env } = process.env
  const conditions = process.execArgv.filter((arg) => /^(--conditions|-C)=/.test(arg))
  const child = spawn(process.execPath, [...conditions, "--input-type=module", "--eval", script], {
    env,
    timeout: OTHER_PROCESS_MILLIS,
    stdio: ["pipe", "pipe", "pipe"],
  })
  child.stdin.end(JSON.stringify({ module: module.startsWith("/") ? pathToFileURL(module).href : module, config }))
  const [out, said] = await Promise.all([text(child.stdout), text(child.stderr)])
  assert.equal(
    said.split("\n").find((line) => /Error/.test(line)),
    undefined,
    "the other process",
  )
  return out
}
