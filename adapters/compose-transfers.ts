/** The threads that serve TFTP: adapters/tftp with this host's calls. */
import { linuxHost } from "./host/linux.ts"
import { serveInThread } from "./tftp/in-thread.ts"

await serveInThread(linuxHost(), new URL(import.meta.url))
