/** Says so, in words, when the Node that runs us is too old. */
export const nodeIsTooOld = (version: string): string | undefined => {
  const [major = 0, minor = 0] = version.slice(1).split(".").map(Number)
  if (major > 22 || (major === 22 && minor >= 19)) return undefined
  return `error: Node ${version} is too old\n  cause: Imagelink needs Node 22.19 or newer, and its own Node 24 is not installed\n  fix: run 'npm ci' without --omit=optional, or install Node 24\n`
}
