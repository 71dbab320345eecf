/**
 * The decider: what a command comes to, given the catalogue. Pure: the same catalogue and command always give the same answer.
 *
 * **Details** A command that changes nothing comes to no events, so whatever is asked twice is done once. A refused command comes to none
 * either: all of it or nothing.
 */
import * as Result from "effect/Result"
import { fail } from "../errors.ts"
import { limits } from "../limits.ts"
import type { Catalogue } from "./catalogue.ts"
import type { CommandBody } from "./commands.ts"
import { recordBoots, setNextBoot } from "./decide-boot.ts"
import { changeClient, removeClients } from "./decide-client.ts"
import { copyClient } from "./decide-copy.ts"
import { createImage, sealImage } from "./decide-draft.ts"
import { changeGroup, createGroup, linkGroup, removeGroup, unlinkGroup } from "./decide-group.ts"
import { addImage, recordCheck, recordDamage, relocateImage, removeImage } from "./decide-image.ts"
import { importClients } from "./decide-import.ts"
import { linkClients, resetOverlays, unlinkClients } from "./decide-link.ts"
import { registerClient } from "./decide-register.ts"
import { restoreLinks } from "./decide-restore.ts"
import { clearSuperClient, setSuperClient } from "./decide-super.ts"
import { commitImage, flattenVersion, placeImage, retireVersion, rollBackImage } from "./decide-version.ts"
import { type Decision, refuse } from "./decision.ts"

const byType = (catalogue: Catalogue, body: CommandBody): Decision => {
  switch (body.type) {
    case "AddImage":
      return addImage(catalogue, body)
    case "RecordCheck":
      return recordCheck(catalogue, body)
    case "RecordDamage":
      return recordDamage(catalogue, body)
    case "RelocateImage":
      return relocateImage(catalogue, body)
    case "RemoveImage":
      return removeImage(catalogue, body)
    case "RegisterClient":
      return registerClient(catalogue, body)
    case "ChangeClient":
      return changeClient(catalogue, body)
    case "RemoveClients":
      return removeClients(catalogue, body)
    case "ImportClients":
      return importClients(catalogue, body)
    case "CopyClient":
      return copyClient(catalogue, body)
    case "LinkClients":
      return linkClients(catalogue, body)
    case "UnlinkClients":
      return unlinkClients(catalogue, body)
    case "ResetOverlays":
      return resetOverlays(catalogue, body)
    case "CreateImage":
      return createImage(catalogue, body)
    case "SealImage":
      return sealImage(catalogue, body)
    case "CommitImage":
      return commitImage(catalogue, body)
    case "RollBackImage":
      return rollBackImage(catalogue, body)
    case "RetireVersion":
      return retireVersion(catalogue, body)
    case "FlattenVersion":
      return flattenVersion(catalogue, body)
    case "PlaceImage":
      return placeImage(catalogue, body)
    case "SetSuperClient":
      return setSuperClient(catalogue, body)
    case "ClearSuperClient":
      return clearSuperClient(catalogue, body)
    case "SetNextBoot":
      return setNextBoot(catalogue, body)
    case "RecordBoots":
      return recordBoots(catalogue, body)
    case "CreateGroup":
      return createGroup(catalogue, body)
    case "ChangeGroup":
      return changeGroup(catalogue, body)
    case "LinkGroup":
      return linkGroup(catalogue, body)
    case "UnlinkGroup":
      return unlinkGroup(catalogue, body)
    case "RemoveGroup":
      return removeGroup(catalogue, body)
    case "RestoreLinks":
      return restoreLinks(catalogue, body)
  }
}

export const decide = (catalogue: Catalogue, body: CommandBody): Decision => {
  const decision = byType(catalogue, body)
  const events = Result.isSuccess(decision) ? decision.success.length : 0
  if (events <= limits.commandEventsMax) return decision
  const why = `it comes to ${events} events; at most ${limits.commandEventsMax} fit in one command`
  return refuse(fail("COMMAND_INVALID", { why }))
}
