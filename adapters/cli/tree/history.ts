/** The verbs that look back: links, history, log, boots. */
import type { Command } from "commander"
import { moment, verb } from "./declare.ts"

const views = () => import("../verbs/views.ts")
const time = () => import("../verbs/time.ts")
const boots = () => import("../verbs/boots.ts")
const log = () => import("../verbs/log.ts")

export const declareHistory = (root: Command): void => {
  moment(verb(root, "links", "the link table, now or then", "reads", time, "links")).option(
    "--diff <moments...>",
    "A B: what changed between two positions or times",
  )
  verb(root, "history", "who changed what, from what, to what", "reads", views, "history")
    .option("--client <client>", "only this client")
    .option("--image <image>", "only this image")
    .option("--group <group>", "only this group, and the links it gave")
    .option("--since <time>", "only from this time on (2026-11-22T14:05Z, or 2h, 3d)")
    .option("--until <time>", "only up to this time")
  verb(root, "log", "the events themselves; with --json, exactly the stored bytes", "reads", log, "log")
    .option("--after <position>", "only later ones", "0")
    .option("--type <type>", "only of this type (ClientLinked)")
    .option("--client <client>", "only of this client")
    .option("--image <image>", "only of this image")
    .option("--group <group>", "only of this group, and the links it gave")
    .option("--follow", "go on with new ones until stopped")
  verb(root, "boots", "what clients booted, and when", "reads", boots, "boots")
    .option("--client <client>", "only this client")
    .option("--follow", "go on with new ones until stopped")
}
