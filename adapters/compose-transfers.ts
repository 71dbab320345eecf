/** The thread that serves TFTP: adapters/tftp with this host's calls. */
import { linuxHost } from "./host/linux.ts"
import { serveInThread } from "./tftp/in-thread.ts"

await serveInThread(linuxHost())
