/**
 * How much memory images may take: the budget, and never so much that the host would swap.
 *
 * **Details** What the host can give is asked for whenever something is planned, because other programs come and go: the least of what the machine and each control group have
 * available, less `ramHostKeptBytes`. What images have taken already is theirs. Memory that others take while an image is filled ends the fill: what is there by then
 * stays, and the rest is read from its file.
 */
import type { RamSlots } from "../block/ram-slots.ts"
import { limits } from "../limits.ts"

export interface RamRoom {
  /** Bytes for all images together, and what bounds them. */
  all(): { readonly bytes: number; readonly bound: "budget" | "memory" }
  /** Whether the host has none to spare any more. */
  isShort(): boolean
}

export const makeRamRoom = (
  slots: Pick<RamSlots, "chunks" | "allocatedBytes">,
  availableBytes: () => number | undefined,
): RamRoom => {
  const spare = (): number => (availableBytes() ?? Number.POSITIVE_INFINITY) - limits.ramHostKeptBytes
  return {
    all() {
      const budget = slots.chunks * limits.ramChunkBytes
      const memory = slots.allocatedBytes + Math.max(0, spare())
      return memory < budget ? { bytes: memory, bound: "memory" } : { bytes: budget, bound: "budget" }
    },
    isShort: () => spare() < limits.ramChunkBytes,
  }
}
