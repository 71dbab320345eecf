/** Memory for what is on its way: of a server, and of each session within it. */

/** What all connections of a server share. */
export class ServerBudget {
  private taken = 0
  private readonly bytesMax: number

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  /** False: there is no room now. */
  take(bytes: number): boolean {
    if (this.taken + bytes > this.bytesMax) return false
    this.taken += bytes
    return true
  }

  give(bytes: number): void {
    this.taken -= bytes
  }

  get bytes(): number {
    return this.taken
  }
}

/** What one session holds, which counts for its server too. */
export class SessionBudget extends ServerBudget {
  private readonly server: ServerBudget

  constructor(bytesMax: number, server: ServerBudget) {
    super(bytesMax)
    this.server = server
  }

  override take(bytes: number): boolean {
    if (!super.take(bytes)) return false
    if (this.server.take(bytes)) return true
    super.give(bytes)
    return false
  }

  override give(bytes: number): void {
    super.give(bytes)
    this.server.give(bytes)
  }
}
