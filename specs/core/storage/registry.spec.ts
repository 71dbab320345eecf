import { expect, it } from "vitest"
import { checkPlugin, PluginRegistry } from "../../../core/storage/registry.ts"

const manifest = { persistent: true, writable: false, sparse: false, shared: true, local: true }
const storage = { apiVersion: 1, kind: "shelf", manifest, open: async () => {} }
const format = { apiVersion: 1, format: "toy", probe: () => {}, open: async () => {} }

const faults = (value: unknown) => {
  try {
    return checkPlugin(value, "shelf.mjs").is
  } catch (error) {
    return (error as { details: ReadonlyArray<string> }).details
  }
}

it("tells storage plugins from formats", () => {
  expect(faults(storage)).toBe("storage")
  expect(faults(format)).toBe("format")
})

it("refuses everything that is not an object", () => {
  for (const value of [undefined, null, "x", 7, () => {}])
    expect(() => checkPlugin(value, "shelf.mjs")).toThrow("shelf.mjs")
})

it("names every fault of a storage plugin at once", () => {
  expect(faults({})).toEqual([
    "apiVersion is undefined, not 1",
    "kind is not 1 to 32 of a-z, 0-9 and inner hyphens",
    "there is no function open",
    "there is no manifest",
  ])
  expect(
    faults({
      ...storage,
      apiVersion: 2,
      manifest: { ...manifest, local: 1 },
      config: {},
      sibling: "x",
      folder: () => {},
    }),
  ).toEqual([
    "apiVersion is 2, not 1",
    "sibling is not a function",
    "manifest.local is neither true nor false",
    "config is not a Standard Schema, version 1",
    "folder is there, but manifest.writable is not true",
  ])
  expect(faults({ format: "toy", apiVersion: 1, seal: 1 })).toEqual([
    "there is no function probe",
    "there is no function open",
    "seal is not a function",
  ])
})

it("takes a kind of one character and of 32, and not what would read badly in a command", () => {
  for (const kind of ["a", "s3", "my-shelf", "x".repeat(32)]) expect(faults({ ...storage, kind })).toBe("storage")
  for (const kind of ["", "-a", "a-", "A", "a b", "x".repeat(33), "é", 7])
    expect(faults({ ...storage, kind })).toEqual(["kind is not 1 to 32 of a-z, 0-9 and inner hyphens"])
})

it("takes a schema that is a function, as ArkType's are", () => {
  const config = Object.assign(() => {}, { "~standard": { version: 1, vendor: "arktype", validate: () => {} } })
  expect(faults({ ...storage, config })).toBe("storage")
})

it("finds plugins by kind, lists formats in order, and takes no name twice", () => {
  const registry = new PluginRegistry()
    .add(storage, "a")
    .add(format, "b")
    .add({ ...format, format: "other" }, "c")
  expect(registry.storage("shelf")).toBe(storage)
  expect(registry.formats.map((one) => one.format)).toEqual(["toy", "other"])
  expect(registry.kinds).toEqual(["shelf"])
  expect(() => registry.storage("constructor")).toThrow('there is no storage plugin "constructor"')
  expect(() => registry.add({ ...storage }, "d")).toThrow("d is not a plugin")
  expect(() => registry.add({ ...format }, "e")).toThrow("e is not a plugin")
})

it("finds where a path is, and an address by its scheme", () => {
  const registry = new PluginRegistry()
    .add(storage, "a")
    .add({ ...storage, kind: "web", schemes: ["https", "s3"] }, "b")
  expect(registry.locate("/srv/win11.raw")).toEqual({ kind: "file", config: { path: "/srv/win11.raw" } })
  expect(registry.locate("https:/one/slash")).toEqual({ kind: "file", config: { path: "https:/one/slash" } })
  expect(registry.locate("HTTPS://lab/win11.raw")).toEqual({ kind: "web", config: { url: "HTTPS://lab/win11.raw" } })
  expect(registry.locate("s3://lab/win11.raw")).toEqual({ kind: "web", config: { url: "s3://lab/win11.raw" } })
  expect(() => registry.locate("ftp://lab/win11.raw")).toThrow('there is no storage plugin "ftp://"')
})

it("refuses schemes that are none", () => {
  for (const schemes of ["https", ["https://"], [7], ["HTTPS"], [""]])
    expect(faults({ ...storage, schemes })).toEqual(["schemes is not a list of URL schemes"])
  expect(faults({ ...storage, schemes: [] })).toBe("storage")
})
