/** The server's log names targets without the half of a boot id that opens the disk. */
import { expect, it } from "vitest"
import { describeIscsiEvent } from "../../adapters/iscsi/describe-event.ts"
import type { IscsiEvent } from "../../adapters/iscsi/portal.ts"
import { fail } from "../../core/errors.ts"

const half = "agran6bfbfmjacptbhqmfzym"
const key = "ur7hbtk7s2bumzgkcwki5ysd"
const target = `iqn.2026-11.io.imagelink:pc-001:${half}${key}`
const at = { connection: 1, peer: "10.0.0.7", target } as const
const initiator = "iqn.2026-11.test:pc-001"

it.each<IscsiEvent>([
  { ...at, type: "opened", initiator, user: undefined, units: ["LUN 0"], reinstated: false },
  { ...at, type: "not-ready", lun: 0, error: fail("IMAGE_FILE_NOT_FOUND", { path: "disk.raw" }) },
  { ...at, type: "ready", lun: 0, description: "a disk" },
  { ...at, type: "linked", lun: 1, description: "a disk" },
  { ...at, type: "taken-away", lun: 1 },
  { ...at, type: "refused", initiator, status: 0x0204, why: "the boot is over", unsaid: 0 },
  { ...at, type: "redirected", initiator, status: 0x0101, portal: "10.0.0.2:3260" },
  { ...at, type: "closed", why: "the initiator logged out" },
])("$type", (event) => {
  const { text } = describeIscsiEvent(event)
  expect(text).toContain(`iqn.2026-11.io.imagelink:pc-001:${half}…`)
  expect(text).not.toContain(key)
  expect(describeIscsiEvent(event, true).text).toContain(target)
})

it("a target without a boot id is named whole", () => {
  const plain = { ...at, target: "iqn.2026-11.io.imagelink:pc-001", type: "taken-away", lun: 1 } as const
  expect(describeIscsiEvent(plain).text).toContain("iqn.2026-11.io.imagelink:pc-001 LUN 1 was taken away")
})
