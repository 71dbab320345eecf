/** Keeps a file with the names of the specs that are running, for whoever has to end them from outside (specs/run.ts). */
import { writeFileSync } from "node:fs"
import { relative } from "node:path"
import type { Reporter, TestModule } from "vitest/node"

export default class RunningReporter implements Reporter {
  readonly #running = new Set<string>()

  onTestModuleQueued({ moduleId }: TestModule): void {
    this.#running.add(relative(process.cwd(), moduleId))
    this.#note()
  }

  onTestModuleEnd({ moduleId }: TestModule): void {
    this.#running.delete(relative(process.cwd(), moduleId))
    this.#note()
  }

  #note(): void {
    const { IMAGELINK_RUNNING: file } = process.env
    if (file !== undefined) writeFileSync(file, [...this.#running].join("\n"))
  }
}
