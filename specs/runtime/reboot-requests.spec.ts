/** A wish that a client boots anew lasts until it is fulfilled, over restarts. */
import { expect, it } from "vitest"
import { openRebootRequests } from "../../core/runtime/reboot-requests.ts"
import type { VolumeFolder } from "../../core/storage/volume.ts"

const folderOf = (files: Map<string, Uint8Array>) =>
  ({
    readFile: async (name: string) => files.get(name),
    replaceFile: async (name: string, bytes: Uint8Array) => void files.set(name, bytes),
  }) as unknown as VolumeFolder

it("is kept with the time of the first who asked, until it is forgotten", async () => {
  const files = new Map<string, Uint8Array>()
  const requests = await openRebootRequests(folderOf(files))
  expect([requests.at("a"), files.size]).toEqual([undefined, 0])
  await Promise.all([requests.ask(["a"], 5), requests.ask(["a", "b"], 6)])
  const again = await openRebootRequests(folderOf(files))
  expect([again.at("a"), again.at("b"), again.at("c")]).toEqual([5, 6, undefined])
  await again.forget(["a", "c"])
  const last = await openRebootRequests(folderOf(files))
  expect([last.at("a"), last.at("b")]).toEqual([undefined, 6])
})

it.each(["", "{", "null", "[1]", '{"a":"5"}'])("counts a file with %j as empty", async (text) => {
  const requests = await openRebootRequests(folderOf(new Map([["reboot-requests.json", Buffer.from(text)]])))
  expect(requests.at("a")).toBeUndefined()
  await requests.ask(["a"], 7)
  expect(requests.at("a")).toBe(7)
})
