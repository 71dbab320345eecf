/** Which iPXE a boot program is, read from its own text. Pure. */

/** `1.0.0+git-20190125.36a4c85-5.1`, `1.21.1+git20220113.fbbdc3926`, `1.21.1 (g988d2c13c)`, `2.0.0`; undefined where it says none, as packed ones do. */
export const ipxeVersion = (bytes: Buffer): string | undefined => {
  if (!bytes.includes("iPXE")) return undefined
  const text = bytes.toString("latin1")
  const [, version] =
    /(?:^|[^\w.])([12]\.\d{1,2}\.\d{1,2}(?:\+[\w.~+-]{3,60}| \(g?[0-9a-f]{4,40}\)|\+)?)(?=\0)/u.exec(text) ?? []
  return version
}

/** autoexec.ipxe came on 13 January 2022, after 1.21.1 and before 2.0. */
export const isBeforeAutoexec = (version: string): boolean => {
  const [, date] = /git-?(\d{8})/u.exec(version) ?? []
  if (date !== undefined) return Number(date) < 20_220_113
  const [major = 0, minor = 0, patch = 0] = version.split(/[^\d]/u).map(Number)
  return major < 1 || (major === 1 && (minor < 21 || (minor === 21 && patch <= 1 && !version.includes("+"))))
}
