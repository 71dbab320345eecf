/** The file of CHAP secrets and the file of kept reservations, at their edges. */
import { expect, it } from "vitest"
import { folderKeeper } from "../../adapters/iscsi/keeper.ts"
import { decodeSecrets } from "../../adapters/iscsi/secrets.ts"
import { isImagelinkError } from "../../core/errors.ts"
import type { VolumeFolder } from "../../core/storage/volume.ts"

const entry = { client: "PC-001", user: "u", secret: "twelve bytes" }
const why = (input: unknown): string => {
  try {
    decodeSecrets("f", input)
  } catch (e) {
    expect(isImagelinkError(e) && e.code).toBe("CONFIG_INVALID")
    return isImagelinkError(e) ? e.reason : ""
  }
  return "accepted"
}

it("gives a client its own secret in any case, else that of all", () => {
  const of = decodeSecrets("f", { chap: [entry, { client: "*", user: "all", secret: "another secret" }] })
  expect(of({ client: "pc-001", boot: undefined })?.user).toBe("u")
  expect(of({ client: "pc-002", boot: "b" })?.user).toBe("all")
  expect(decodeSecrets("f", { chap: [entry] })({ client: "pc-002", boot: undefined })).toBeUndefined()
})

it.each([
  [{ chap: [{ ...entry, secret: "eleven byte" }] }, "chap 1: a secret of 11 bytes; expected 12 to 255"],
  [{ chap: [{ ...entry, secret: "s".repeat(256) }] }, "chap 1: a secret of 256 bytes; expected 12 to 255"],
  [{ chap: [entry, { ...entry, client: "pc-001" }] }, "chap 2: a second entry for pc-001"],
  [{ chap: [{ ...entry, "mutual-user": "s" }] }, "chap 1: mutual-secret: expected text"],
  [
    { chap: [{ ...entry, "mutual-user": "s", "mutual-secret": "twelve bytes" }] },
    "chap 1: mutual-secret: expected another one than secret",
  ],
  [{ chap: [{ ...entry, password: "x" }] }, "chap 1: password: there is no such key"],
  [{ chap: [{ ...entry, user: 1 }] }, "chap 1: user: expected text"],
  [{ chap: {} }, "chap: expected one [[chap]] for each client"],
  [{ secrets: [] }, "secrets: there is no such key"],
])("refuses %j", (input, said) => {
  expect(why(input)).toBe(said)
})

it("keeps reservations of one generation only, and takes a file that does not read for none", async () => {
  const files = new Map<string, Uint8Array>()
  const folder = {
    readFile: async (name: string) => files.get(name),
    replaceFile: async (name: string, bytes: Uint8Array) => void files.set(name, bytes),
    remove: async (name: string) => void files.delete(name),
  } as unknown as VolumeFolder
  const keeper = folderKeeper(folder)
  await keeper.save("id/0", "id/0/7", "state")
  expect([...files.keys()]).toEqual(["id-0.json"])
  expect(await keeper.load("id/0", "id/0/7")).toBe("state")
  expect(await keeper.load("id/0", "id/0/8")).toBeUndefined()
  files.set("id-0.json", Buffer.from("{"))
  expect(await keeper.load("id/0", "id/0/7")).toBeUndefined()
  await keeper.save("id/0", "id/0/7", undefined)
  expect(files.size).toBe(0)
})
