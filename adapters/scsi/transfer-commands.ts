/** READ and WRITE where the fast path did not do: a miss, FUA, a transfer that the transport cut short. */
import { readBlocks, writeFlags } from "./block-commands.ts"
import { type Command, done, type Reply } from "./command.ts"
import { GOOD } from "./sense.ts"
import { decodeTransfer, emptyTransfer, judgeTransfer, type Transfer } from "./transfer.ts"

const decoded = (c: Command): Transfer => {
  const t = emptyTransfer()
  decodeTransfer(t, c.cdb, 0)
  judgeTransfer(t, c.view.capacityBlocks, c.device.logicalBlockBytes)
  return t
}

export const readBlocksOf = async (c: Command): Promise<Reply> => {
  const { lba, blocks, fua } = decoded(c)
  return { status: GOOD, data: await readBlocks(c, lba, blocks, fua) }
}

/** Writes the whole blocks that came: a transport that announced less than the CDB says reports the rest as residual. */
export const writeBlocksOf = async (c: Command): Promise<Reply> => {
  const { lba, blocks, fua } = decoded(c)
  const block = c.device.logicalBlockBytes
  const bytes = Math.min(blocks * block, c.data.length - (c.data.length % block))
  if (bytes > 0) await c.device.write(c.data, 0, lba * block, bytes, writeFlags(c, fua))
  return done
}
