/**
 * The week of an image in a few seconds: one PC changes it, its writes become the next version, others boot that, and it is taken back.
 *
 * What each PC must find is judged by the bytes that it reads.
 */
import type { Site } from "../../../core/runtime/site.ts"
import { actor } from "../site.ts"
import type { Stages } from "./stages.ts"
import type { DiskClient } from "./wires.ts"

export interface Story {
  readonly site: Site
  readonly image: Buffer
  /** Powers on the PC with this number, counted from 0 and on from the last to the first. */
  readonly boot: (n: number) => Promise<{ readonly name: string; readonly disk: DiskClient }>
  readonly stages: Stages
  readonly say: (text: string) => void
}

const STAGE = "story"
const AT = 4096
const UPDATE = Buffer.alloc(4096, "the update; ")

export const tellStory = async ({ site, image, boot, stages, say }: Story): Promise<void> => {
  const asked = { actor: actor() }
  const before = image.subarray(AT, AT + UPDATE.length)

  /** Boots a PC, and judges what it finds. */
  const find = async (n: number, what: Uint8Array, said: string): Promise<string> => {
    const { name, disk } = await boot(n)
    const found = await disk.read(AT, UPDATE.length)
    await disk.close()
    if (Buffer.compare(found, what) !== 0) stages.mismatch(STAGE, `${name}: it does not find ${said}`)
    return name
  }

  const first = await boot(0)
  await first.disk.close()
  await site.call("client.set-super", { client: first.name, image: "sample" }, asked)
  const { name, disk } = await boot(0)
  await disk.write(AT, UPDATE)
  await disk.flush()
  await disk.close()
  say(`super client  ${name} booted sample@1, changed it and was shut down`)
  await site.call("image.commit", { name: "sample", note: "the demo's update" }, asked)
  say(
    `image commit  sample@2, sealed from what ${name} wrote; ${await find(1, UPDATE, "the update")} boots it and finds the update`,
  )
  await site.call("image.rollback", { name: "sample" }, asked)
  say(
    `rollback      sample@1 is current again; ${await find(2, before, "the first version")} boots it and finds what was there`,
  )
}
