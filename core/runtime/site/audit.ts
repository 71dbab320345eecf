/** What can be asked about the log as a transparency log (C2SP). */
import type { Nothing, Op } from "./operation.ts"

export interface AuditOperations {
  /** The verifier key line (C2SP signed-note). Hashes, here and below, are base64. */
  "audit.key": Op<Nothing, { readonly key: string }>
  /** Publishes what is there and answers the signed note. */
  "audit.checkpoint": Op<Nothing, { readonly note: string; readonly size: number; readonly root: string }>
  "audit.verify": Op<
    Nothing,
    { readonly key: string; readonly size: number; readonly published: number; readonly root: string }
  >
  /** The proof is the text of a C2SP tlog-proof. */
  "audit.prove": Op<{ readonly position: number }, { readonly proof: string; readonly size: number }>
  "audit.consistency": Op<
    { readonly note: string; readonly file: string },
    { readonly from: number; readonly to: number; readonly root: string; readonly proof: ReadonlyArray<string> }
  >
  /** Publishes what is there and writes it as one archive, as a job. `path` is absolute. */
  "audit.export": Op<
    { readonly path: string; readonly force?: boolean },
    { readonly path: string; readonly sizeBytes: number; readonly size: number; readonly root: string }
  >
}
