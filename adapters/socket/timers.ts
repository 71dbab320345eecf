/** The timers of one connection, which end with it. */
export class Timers {
  private readonly running = new Set<NodeJS.Timeout>()
  private over = false

  /** Does nothing once they have ended. */
  after(millis: number, act: () => void): void {
    if (this.over) return
    const timer = setTimeout(() => {
      this.running.delete(timer)
      act()
    }, millis)
    this.running.add(timer)
  }

  end(): void {
    this.over = true
    for (const timer of this.running) clearTimeout(timer)
    this.running.clear()
  }
}
