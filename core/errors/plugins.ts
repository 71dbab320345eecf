/** Remote images, plugins, configuration, and the files that PCs boot from. */
import { at, entry, type Range } from "./entry.ts"

export const pluginErrors = {
  // --- Remote images ---
  REMOTE_UNREACHABLE: entry<Range & { url: string; why: string }>({
    exit: 1,
    message: (p) => `cannot read ${p.url}${at(p)} now`,
    cause: (p) => p.why,
    fix: () =>
      "see that its server and the network are up; reads are answered again as soon as they are, and what is in the cache is served all the while",
  }),
  REMOTE_CHANGED: entry<{ url: string; what: string }>({
    exit: 1,
    message: (p) => `${p.url} was changed after it was opened (${p.what})`,
    cause: () => "something replaced the object; its clients would see a mixture of both",
    fix: () => "put the original back, or add the new object as a new image under an address of its own",
  }),
  REMOTE_REFUSED: entry<{ url: string; why: string; denied?: boolean }>({
    exit: 1,
    message: (p) => `${p.url} cannot be served as an image`,
    cause: (p) => p.why,
    fix: (p) =>
      p.denied
        ? "see that the credentials which the storage's configuration names are right, and may read it"
        : "serve it from a server that answers range requests with a strong ETag (any static file server or object store does), under an address that stays",
  }),

  // --- Plugins and configuration ---
  PLUGIN_NOT_FOUND: entry<{ kind: string; known: string }>({
    exit: 1,
    message: (p) => `there is no storage plugin ${JSON.stringify(p.kind)}`,
    cause: (p) => `installed: ${p.known}`,
    fix: () => "name its module under [[plugin]] in imagelink.toml",
  }),
  PLUGIN_INVALID: entry<{ module: string; why: string }>({
    exit: 1,
    message: (p) => `${p.module} is not a plugin Imagelink can load`,
    cause: (p) => p.why,
    fix: () => "its default export must be a storage or format plugin of apiVersion 1; see plugins/README.md",
  }),
  PLUGIN_CONFIG_INVALID: entry<{ kind: string; why: string }>({
    exit: 1,
    message: (p) => `the storage plugin ${p.kind} refuses its configuration`,
    cause: (p) => p.why,
    fix: () => "correct the named keys",
  }),
  PLUGIN_BROKE_CONTRACT: entry<{ kind: string; why: string }>({
    exit: 1,
    message: (p) => `the plugin ${p.kind} broke its contract`,
    cause: (p) => p.why,
    fix: () => "report this to the plugin's author; run its conformance suite",
  }),
  FILE_UNREADABLE: entry<{ path: string; why: string }>({
    exit: 1,
    message: (p) => `cannot read ${p.path}`,
    cause: (p) => p.why,
    fix: () => "check the path, and that this user may read it",
  }),
  CONFIG_INVALID: entry<{ file: string; why: string }>({
    exit: 2,
    message: (p) => `${p.file} cannot be used`,
    cause: (p) => p.why,
    fix: () =>
      "correct the named key; 'imagelink serve --help' lists every key as a flag, 'imagelink config show' says where each is set",
  }),
  USAGE: entry<{ why: string; see: string }>({
    exit: 2,
    message: (p) => p.why,
    cause: () => "the command line was not understood",
    fix: (p) => `see ${p.see}`,
  }),

  // --- Boot files ---
  TFTP_TIMEOUT: entry<{ client: string; file: string; lastBlock: number; blocks: number; seconds: number }>({
    exit: 1,
    message: (p) =>
      `client ${p.client} stopped answering while ${p.file} was sent (block ${p.lastBlock} of ${p.blocks})`,
    cause: (p) =>
      `no answer for ${p.seconds} seconds, though the last packets were sent again; a firewall drops them, the client was switched off, or the disk under the boot files is slow`,
    fix: () =>
      "let UDP through between server and clients: ports 67, 69 and 4011, and the ports above 1023 that transfers use; then see whether the boot files' disk is slow",
  }),
} as const
