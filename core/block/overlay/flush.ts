/**
 * Flush: what makes an overlay's acknowledged writes survive a power loss, and the order that does it.
 *
 *     1  copy the map sectors that changed      a grain written from here on must not be promised:
 *     2  sync the data file                     its data may come too late for this sync
 *     3  write the copies to the durable map    every grain they name now has its data on disk
 *     4  sync the durable map                   and only now is anything promised of pages that exist
 *     5  write the directory, if pages are new  a page that was lost once may still have sectors there of that time:
 *     6  sync the durable map                   it exists only when all of it is on disk as it is now
 *     7  give back trimmed space                what it held can no longer come back (give-back.ts)
 *
 * A power loss at any point leaves a durable map whose every entry names data that is on disk: sectors that reached it and sectors
 * that did not are each right about their own grains.
 */

export interface FlushSteps<Changes> {
  copyChanges(): Promise<Changes>
  syncData(): Promise<void>
  /** Answers whether there is anything to sync. */
  writeDurable(changes: Changes): Promise<boolean>
  /** The same of the directory. */
  writeDirectory(changes: Changes): Promise<boolean>
  syncDurable(): Promise<void>
  /** Never fails: what cannot be given back stays for the next flush. */
  giveBack(changes: Changes): Promise<void>
  putBack(changes: Changes): void
}

/** How a flush is carried out. A parameter of an overlay only so that its specs can prove that another order loses data. */
export type FlushOrder = <Changes>(steps: FlushSteps<Changes>) => Promise<void>

export const flushInOrder: FlushOrder = async (steps) => {
  const changes = await steps.copyChanges()
  try {
    await steps.syncData()
    if (await steps.writeDurable(changes)) await steps.syncDurable()
    if (await steps.writeDirectory(changes)) await steps.syncDurable()
  } catch (e) {
    steps.putBack(changes)
    throw e
  }
  await steps.giveBack(changes)
}

/** One flush runs, at most one more waits: whoever asks meanwhile is covered by the one that waits. */
export class FlushGroup {
  readonly #run: () => Promise<void>
  #running: Promise<void> | undefined
  #next: Promise<void> | undefined

  constructor(run: () => Promise<void>) {
    this.#run = run
  }

  flush(): Promise<void> {
    if (this.#next !== undefined) return this.#next
    if (this.#running === undefined) return this.#start()
    this.#next = this.#running.then(nothing, nothing).then(() => {
      this.#next = undefined
      return this.#start()
    })
    return this.#next
  }

  #start(): Promise<void> {
    this.#running = this.#run().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }
}

const nothing = () => {}
