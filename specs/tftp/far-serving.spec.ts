/** Requests that another thread serves: both ends of the line, in one. */
import { MessageChannel } from "node:worker_threads"
import { afterEach, expect, it } from "vitest"
import { serveAsked, serveThere } from "../../adapters/tftp/far-serving.ts"
import type { Serve, ServingEvents } from "../../adapters/tftp/serving.ts"

const peer = { address: "192.0.2.7", port: 2070 }
const request = { file: "snponly.efi", options: [["blksize", "1468"]] as const }

const opened: Array<() => void> = []
afterEach(() => {
  for (const close of opened.splice(0)) close()
})

/** The other thread's serving, which does what the spec says, and what it was asked. */
const line = () => {
  const { port1, port2 } = new MessageChannel()
  opened.push(() => port1.close())
  const asked: Array<unknown> = []
  const there: Array<ServingEvents> = []
  const serve: Serve = (wanted, from, events) => {
    asked.push([wanted, from])
    there.push(events)
    return {
      askedAgain: () => void asked.push("again"),
      abandon: () => void asked.push("abandon"),
      async stop() {
        asked.push("stop")
        events.ended({ type: "stopped", message: "the server is stopping" })
      },
    }
  }
  serveAsked(port2, serve)
  const heard: Array<unknown> = []
  const events: ServingEvents = {
    started: (...of) => void heard.push(["started", ...of]),
    refused: (refusal) => void heard.push(refusal),
    ended: (outcome) => void heard.push(outcome),
    missed: () => void heard.push("missed"),
  }
  const serving = serveThere(port1)(request, peer, events)
  return { serving, asked, there, heard }
}

it("a request goes there whole, and what becomes of it comes back in order", async () => {
  const { asked, there, heard } = line()
  await expect.poll(() => asked).toEqual([[request, peer]])
  there[0]!.started(1000, [["blksize", "1468"]])
  there[0]!.ended({ type: "done", sizeBytes: 1000 })
  await expect.poll(() => heard).toEqual([["started", 1000, [["blksize", "1468"]]], { type: "done", sizeBytes: 1000 }])
})

it("a refusal comes back with its code", async () => {
  const { there, heard } = line()
  await expect.poll(() => there).toHaveLength(1)
  const refusal = { type: "refused", code: 1, message: "there is no such file" } as const
  there[0]!.refused(refusal)
  await expect.poll(() => heard).toEqual([refusal])
})

it("a client that asks again is heard while its transfer runs, and else told to have been missed", async () => {
  const { serving, asked, there, heard } = line()
  serving.askedAgain()
  await expect.poll(() => asked).toEqual([[request, peer], "again"])
  serving.askedAgain()
  await expect.poll(() => asked).toHaveLength(3)
  expect(heard).toEqual([])
  // It has ended there; this side has not heard of it.
  there[0]!.ended({ type: "done", sizeBytes: 0 })
  serving.askedAgain()
  await expect.poll(() => heard).toEqual([{ type: "done", sizeBytes: 0 }, "missed"])
  expect(asked).toHaveLength(3)
})

it("it is abandoned and stopped there; stopping has settled when it has ended", async () => {
  const { serving, asked, heard } = line()
  serving.abandon()
  await serving.stop()
  expect(asked).toEqual([[request, peer], "abandon", "stop"])
  expect(heard).toEqual([{ type: "stopped", message: "the server is stopping" }])
})
