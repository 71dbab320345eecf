/** Whether an initiator is there now, asked of a running session: what counts as an answer, and what does not. */
import { afterEach, expect, it } from "vitest"
import type { IscsiClient } from "../../adapters/iscsi/client.ts"
import * as pdu from "../../adapters/iscsi/pdu.ts"
import { PING_TAG } from "../../adapters/iscsi/sign-of-life.ts"
import type { Disks, SignOfLife } from "../../core/block/lease.ts"
import { startIscsi, until } from "../support/iscsi-server.ts"

const stops: Array<() => Promise<unknown>> = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

/** A session of an initiator, and how its lease's owner asks it. */
const session = async (answersPings: boolean) => {
  const asks: Array<SignOfLife> = []
  const s = await startIscsi()
  stops.push(s.stop)
  const attach: Disks["attach"] = s.disks.attach.bind(s.disks)
  s.disks.attach = async (...words) => ({ ...(await attach(...words)), onAsked: (ask) => void asks.push(ask) })
  const client = await s.connect()
  client.answersPings = answersPings
  await until(() => asks.length === 1, "its lease knows how to ask")
  const over = new AbortController()
  const asked = () => {
    const answer = { alive: undefined as boolean | undefined }
    void asks[0]!(over.signal).then((alive) => {
      answer.alive = alive
    })
    return answer
  }
  return { ...s, client, over, asked }
}
/** A turn of both ends: what was sent before it has been looked at. */
const turn = (client: IscsiClient) => client.nop(Buffer.alloc(0))
const read = (client: IscsiClient) => client.read(0, 512)

it("an operating system answers the ping, each question by itself", async () => {
  const { client, asked } = await session(true)
  const [first, second] = [asked(), asked()]
  await until(() => first.alive === true && second.alive === true, "both were answered")
  const tags = client.unasked.filter((r) => r.opcode === pdu.NOP_IN).map((r) => r.head.readUInt32BE(20))
  expect(tags).toEqual([2, 3])
})

it("firmware, which answers no ping, is there when it counts a status that was sent since, and not a command sooner", async () => {
  const { client, asked } = await session(false)
  await read(client)
  const question = asked()
  // This one counts statuses of before alone.
  await read(client)
  expect(question.alive).toBe(undefined)
  await read(client)
  await until(() => question.alive === true, "it was answered")
})

it("what was sent before and arrives afterwards is no answer", async () => {
  const { client, asked, over } = await session(false)
  await read(client)
  const onItsWay = [read(client), read(client), read(client)]
  const question = asked()
  await Promise.all(onItsWay)
  expect(question.alive).toBe(undefined)
  over.abort()
  await until(() => question.alive === false, "nobody waits for it any more")
  // A late answer is one to nobody.
  await turn(client)
})

it("another's tag is no answer", async () => {
  const { client, asked, over } = await session(false)
  const question = asked()
  const b = client.header(pdu.NOP_OUT, pdu.FINAL, pdu.NO_TAG, 0, true)
  b.writeUInt32BE(PING_TAG, 20)
  client.send(b, Buffer.alloc(0))
  await turn(client)
  expect(question.alive).toBe(undefined)
  over.abort()
})

it("a session that has ended answers no more", async () => {
  const { client, asked } = await session(false)
  const before = asked()
  client.destroy()
  await until(() => before.alive === false, "it ended")
  const after = asked()
  await until(() => after.alive === false, "it stays ended")
})
