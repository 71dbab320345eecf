/** Memory that all connections of a server share for what is on its way. */
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
