/** A room that is switched on: five hundred transfers at once, and each gets its bytes. */
import { expect, it } from "vitest"
import { fetchTftp } from "../../adapters/tftp/client.ts"
import { listenTftp } from "../../adapters/tftp/server.ts"
import type { BootFiles } from "../../core/runtime/boot-files.ts"
import { patterned } from "../support/random.ts"

const CLIENTS = 500
const BYTES = 60_000

it("500 transfers run at the same time, and all come whole", async () => {
  const files = Array.from({ length: CLIENTS }, (_, i) => patterned(BYTES + i, i))
  const opening: Array<() => void> = []
  let open = 0
  /** No file is opened before everybody has asked. */
  const together: BootFiles = {
    async open(name) {
      await new Promise<void>((resolve) => {
        opening.push(resolve)
        if (opening.length === CLIENTS) for (const go of opening) go()
      })
      open++
      const file = files[Number(name)]!
      const read = async (offset: number, length: number) => file.subarray(offset, offset + length)
      return { sizeBytes: file.length, read, close: async () => void open-- }
    },
  }
  const limits = { transfersPerPeerMax: CLIENTS }
  const server = await listenTftp({ address: "127.0.0.1", port: 0, files: together, limits })
  try {
    const to = { host: "127.0.0.1", port: server.port, blksize: 1468, windowsize: 4, patienceMillis: 3000 }
    const fetching = files.map((_, i) => fetchTftp({ ...to, file: `${i}` }))
    const got = await Promise.all(fetching)
    expect(opening).toHaveLength(CLIENTS)
    expect(got.filter(({ bytes }, i) => !bytes.equals(files[i]!))).toHaveLength(0)
  } finally {
    await server.close()
  }
  for (let n = 0; n < 500 && open > 0; n++) await new Promise((r) => setTimeout(r, 10))
  expect([open, server.transfers()]).toEqual([0, 0])
}, 120_000)
