/** What a check found: one line of the report, with code, cause and fix where something is wrong. */
import type { ErrorJson, ImagelinkError } from "../../core/errors.ts"

export type Side = "server" | "client"
export type State = "pass" | "warn" | "fail" | "skip"

/** As a check answers it. `subject` is what was looked at: a port, a file, an image. */
export interface Found {
  readonly subject: string
  readonly state: State
  readonly text: string
  /** With `warn` and `fail`. */
  readonly error?: ErrorJson
}

export interface Finding extends Found {
  readonly check: string
  readonly side: Side
}

export const pass = (subject: string, text: string): Found => ({ subject, state: "pass", text })

/** It was not looked at, and why. */
export const skip = (subject: string, why: string): Found => ({ subject, state: "skip", text: why })

const wrong = (state: "warn" | "fail", subject: string, error: ImagelinkError): Found => ({
  subject,
  state,
  text: error.message,
  error: error.toJSON(),
})

/** PCs boot all the same, but not as well or not for long. */
export const warn = (subject: string, error: ImagelinkError): Found => wrong("warn", subject, error)

/** Some PC does not boot, or something is lost. */
export const failed = (subject: string, error: ImagelinkError): Found => wrong("fail", subject, error)
