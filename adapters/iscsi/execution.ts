/**
 * Carrying out the tasks of one session: in the order that the task set of their unit allows, and to their end, whoever still listens.
 *
 * **Details** A task that runs cannot be forgotten: what must know when it has no effect any more waits for it (`settled`).
 */
import { limits } from "../../core/limits.ts"
import type { Completion, ScsiNexus } from "../scsi/nexus.ts"
import { GOOD } from "../scsi/sense.ts"
import type { UnitView } from "../scsi/unit.ts"
import type { FastPath } from "./fast-path.ts"
import type { IscsiTask } from "./task.ts"

export interface ExecutionInput {
  readonly nexus: ScsiNexus
  readonly fast: FastPath
  readonly viewOf: (lun: number) => UnitView | undefined
  readonly finish: (task: IscsiTask, completion: Completion) => void
  /** Something settled: PDUs may be taken again, and what was gathered may leave. */
  readonly wake: () => void
}

const taken: Completion = { status: GOOD, data: undefined, sense: undefined }

export class Execution {
  private readonly input: ExecutionInput
  private readonly idle: Array<() => void> = []
  /** Of what runs, at most. */
  runningBytes = 0

  constructor(input: ExecutionInput) {
    this.input = input
  }

  /** All its data is here: it is carried out when those before it allow. */
  start(task: IscsiTask): void {
    const { place } = task
    if (place === undefined) this.carryOut(task)
    else place.set.take(place, () => this.inTurn(task))
  }

  /** Settles when none of these runs any more. */
  async settled(tasks: ReadonlyArray<IscsiTask>): Promise<void> {
    while (tasks.some((t) => t.running)) await new Promise<void>((resolve) => this.idle.push(resolve))
  }

  /** Who lets a task begin may be another session. */
  private inTurn(task: IscsiTask): void {
    if (task.aborted) return
    this.carryOut(task)
    this.input.wake()
  }

  private carryOut(task: IscsiTask): void {
    const { nexus, finish } = this.input
    if (this.writesNow(task)) {
      finish(task, taken)
      return
    }
    const done = nexus.run(task.lun, task.cdb, task.buffer, task.announced, task.gone.signal)
    if (done instanceof Promise) void this.waitFor(task, done)
    else finish(task, done)
  }

  /** A WRITE whose data is all here, to a disk that takes it at once. */
  private writesNow(task: IscsiTask): boolean {
    const view = this.input.viewOf(task.lun)
    return task.wants > 0 && view?.clear === true && this.input.fast.collected(view, task.cdb, task.buffer)
  }

  private async waitFor(task: IscsiTask, done: Promise<Completion>): Promise<void> {
    const { finish, wake } = this.input
    const bytes = Math.max(task.wants, task.reads ? Math.min(task.expected, limits.scsiTransferBytesMax) : 0)
    task.running = true
    this.runningBytes += bytes
    const completion = await done
    this.runningBytes -= bytes
    task.running = false
    finish(task, completion)
    for (const resolve of this.idle.splice(0)) resolve()
    wake()
  }
}
