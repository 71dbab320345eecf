/**
 * The client's side tried from another network namespace: the same command runs there, for the client's checks alone, and says what it finds.
 *
 * **Details** `ip netns exec` for a name, nsenter(1) for a file such as /proc/PID/ns/net. The server's control socket is a file, and reached from there too.
 */

import { fail } from "../../../core/errors.ts"
import { limits } from "../../../core/limits.ts"
import { type Finding, failed } from "../finding.ts"
import { runTool } from "../system/tool.ts"

/** `command` answers `{ findings: […] }` on stdout, whatever its exit code. */
export const findElsewhere = async (
  namespace: string,
  command: ReadonlyArray<string>,
): Promise<ReadonlyArray<Finding>> => {
  const [tool, ...words] = namespace.includes("/")
    ? ["nsenter", `--net=${namespace}`, "--", ...command]
    : ["ip", "netns", "exec", namespace, ...command]
  const { signal } = new AbortController()
  const said = await runTool(tool!, words, signal, 2 * limits.doctorCheckMillisMax)
  try {
    return (JSON.parse(said.stdout) as { readonly findings: ReadonlyArray<Finding> }).findings
  } catch {
    const why = said.missing ? `${tool} is not installed` : (said.stderr.split("\n")[0] ?? "it said nothing")
    const error = fail("CLIENT_SIDE_FAILED", { from: namespace, why })
    return [{ check: "client's side", side: "client", ...failed(namespace, error) }]
  }
}
