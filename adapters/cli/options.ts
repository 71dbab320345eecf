/** The options that every verb takes. */
export interface CommonOptions {
  readonly data?: string
  readonly server?: string
  readonly tokenFile?: string
  readonly json?: boolean
  readonly dryRun?: boolean
  readonly commandId?: string
}
