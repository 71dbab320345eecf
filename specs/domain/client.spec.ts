import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import { decide } from "../../core/domain/decide.ts"
import { event } from "../../core/domain/decision.ts"
import {
  catalogueOf,
  change,
  clientChanged,
  clientId,
  clientRemoved,
  copy,
  given,
  imageAdded,
  importRows,
  linked,
  mac,
  register,
  registered,
  removeClients,
  state,
  to,
} from "../support/domain.ts"

const address = "10.0.0.1"
const there = registered(1, "PC-001", address)
/** A new client with all that the first one had. */
const another = event("ClientRegistered", { client: { id: clientId(2), name: "PC-001", mac: mac(1) }, address })
const before = state(1, "PC-001", address)

describe("changing a client", () => {
  it("records all of it before and after, and what is not said stays", () => {
    given(there)
      .when(change("PC-001", { name: "teacher" }))
      .then([clientChanged(1, before, state(1, "teacher", address))])
    given(there)
      .when(change(mac(1), { address: "10.0.0.2" }))
      .then([clientChanged(1, before, state(1, "PC-001", "10.0.0.2"))])
    given(there)
      .when(change("pc-001", { mac: "52-54-00-00-00-09" }))
      .then([clientChanged(1, before, state(1, "PC-001", address, 9))])
    given(there)
      .when(change("PC-001", { name: "a", mac: mac(2), address: null }))
      .then([clientChanged(1, before, state(1, "a", null, 2))])
  })
  it("to what it is changes nothing, in any spelling", () => {
    for (const same of [{}, { name: "PC-001" }, { mac: "525400000001" }, { address }])
      given(there).when(change("PC-001", same)).then([])
    given(registered(1))
      .when(change("PC-001", { address: null }))
      .then([])
  })
  it("to its own name in another case is a change", () => {
    given(there)
      .when(change("PC-001", { name: "pc-001" }))
      .then([clientChanged(1, before, state(1, "pc-001", address))])
  })
  it("to what belongs to another is refused, and so is what no client can have", () => {
    const two = given(there, registered(2, "PC-002", "10.0.0.2"))
    two.when(change("PC-001", { name: "pc-002" })).refused("CLIENT_NAME_TAKEN")
    two.when(change("PC-001", { mac: "525400000002" })).refused("CLIENT_MAC_TAKEN")
    two.when(change("PC-001", { address: "10.0.0.2" })).refused("CLIENT_ADDRESS_TAKEN")
    two.when(change("PC-001", { name: "a b" })).refused("CLIENT_NAME_INVALID")
    two.when(change("PC-001", { mac: "ff:ff:ff:ff:ff:ff" })).refused("CLIENT_MAC_INVALID")
    two.when(change("PC-001", { address: "127.0.0.1" })).refused("CLIENT_ADDRESS_INVALID")
    two.when(change("PC-003", { name: "x" })).refused("CLIENT_NOT_FOUND")
  })
  it("frees the name, MAC and address that it had, and takes the new ones", () => {
    const changed = [there, clientChanged(1, before, state(1, "teacher", "10.0.0.9", 9))]
    given(...changed)
      .when(register(2, { mac: mac(1), name: "PC-001", address }))
      .then([another])
    given(...changed)
      .when(register(2, { name: "Teacher" }))
      .refused("CLIENT_NAME_TAKEN")
    given(...changed)
      .when(register(2, { mac: mac(9), name: "x" }))
      .refused("CLIENT_MAC_TAKEN")
    given(...changed)
      .when(register(2, { address: "10.0.0.9" }))
      .refused("CLIENT_ADDRESS_TAKEN")
  })
  it("leaves its links and their epochs as they were", () => {
    const link = [imageAdded(1), there, linked(1, 3, to(1, "win11", 1, "keep"))]
    const unchanged = catalogueOf(link).clients.get(clientId(1))!.links
    const changed = catalogueOf([...link, clientChanged(1, before, state(1, "teacher"))])
    expect(changed.clientsByName.get("teacher")!.links).toEqual(unchanged)
    expect(changed.clientsByAddress.size).toBe(0)
  })
  it("is what registering a known MAC at another address points to", () => {
    expect(
      given(there)
        .when(register(1, { address: "10.0.0.2" }))
        .refused("CLIENT_DIFFERS").fix,
    ).toContain("imagelink client set PC-001 --ip")
  })
})

describe("removing clients", () => {
  it("records each with the links that end", () => {
    given(imageAdded(1), there, registered(2), linked(1, 15, to(1, "win11", 1)), linked(1, 2, to(1)))
      .when(removeClients(["PC-00{1..2}"]))
      .then([
        clientRemoved(
          1,
          [
            { slot: 2, link: to(1) },
            { slot: 15, link: to(1, "win11", 1) },
          ],
          address,
        ),
        clientRemoved(2),
      ])
  })
  it("of nobody changes nothing, and of one named twice is one removal", () => {
    given(there).when(removeClients([])).then([])
    given(registered(1))
      .when(removeClients(["PC-001", mac(1)]))
      .then([clientRemoved(1)])
  })
  it("with kept writes is refused, all of it, unless they may go", () => {
    const kept = { slot: 1, link: to(1, "win11", null, "keep") }
    const events = [imageAdded(1), registered(1), registered(2), linked(2, 1, kept.link)]
    const refused = given(...events)
      .when(removeClients(["PC-001", "PC-002"]))
      .refused("OVERLAY_KEPT")
    expect(refused.message).toBe("PC-002 slot 1 keeps its writes over win11@1")
    given(...events)
      .when(removeClients(["PC-002"], { discardKept: true }))
      .then([clientRemoved(2, [kept])])
  })
  it("that are not there is refused", () => {
    given(there)
      .when(removeClients(["PC-001", "PC-002"]))
      .refused("CLIENT_NOT_FOUND")
    given(registered(1), clientRemoved(1))
      .when(removeClients(["PC-001"]))
      .refused("CLIENT_NOT_FOUND")
  })
  it("frees the name, MAC and address, and never the id", () => {
    const gone = given(there, clientRemoved(1, [], address))
    gone.when(register(2, { mac: mac(1), name: "PC-001", address })).then([another])
    expect(gone.when(register(1)).refused("ID_TAKEN").message).toContain("the removed client PC-001")
    gone.when(copy("PC-001", [])).refused("CLIENT_NOT_FOUND")
    const imported = decide(
      catalogueOf([there, clientRemoved(1)]),
      importRows([{ clientId: clientId(1), mac: mac(1) }]),
    )
    expect(Result.isFailure(imported) && imported.failure.code).toBe("IMPORT_REJECTED")
  })
})
