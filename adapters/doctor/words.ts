/** Sizes and times as the report writes them. */

const units = ["B", "KiB", "MiB", "GiB", "TiB"]

export const bytesText = (bytes: number): string => {
  const unit = bytes < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10))
  const value = bytes / 1024 ** unit
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

/** UTC to the second. */
export const timeText = (millis: number): string => `${new Date(millis).toISOString().slice(0, 19)}Z`
