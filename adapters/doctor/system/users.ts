/** Names of users, as /etc/passwd has them; a user of another directory is shown by number. */
import { readText } from "./proc.ts"

export const userNameOf = (uid: number): string => {
  const line = (readText("/etc/passwd") ?? "").split("\n").find((l) => l.split(":")[2] === String(uid))
  return line?.split(":")[0] ?? `uid ${uid}`
}
