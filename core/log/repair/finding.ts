/** What a look at one part of a data folder came to, and how it is mended. */
export interface Finding {
  /** The file or folder, relative to the data folder. */
  readonly part: string
  /** `lost`: nothing in the data folder brings it back. */
  readonly state: "whole" | "damaged" | "lost"
  /** What is wrong, or what is right about it. */
  readonly detail: string
  /** What mending does, or did; for `lost`, what the operator can do. */
  readonly remedy: string
  /** Present for `damaged`. Called in the order of the findings. */
  readonly mend?: () => Promise<void>
}

export const whole = (part: string, detail: string): Finding => ({ part, state: "whole", detail, remedy: "" })
export const lost = (part: string, detail: string, remedy: string): Finding => ({ part, state: "lost", detail, remedy })
export const damagedPart = (part: string, detail: string, remedy: string, mend: () => Promise<void>): Finding => ({
  part,
  state: "damaged",
  detail,
  remedy,
  mend,
})

/** `1 to 3, 7` */
export const ranges = (positions: ReadonlyArray<number>): string => {
  const out: Array<string> = []
  for (let i = 0; i < positions.length; ) {
    const from = i
    while (positions[i + 1] === positions[i]! + 1) i++
    out.push(from === i ? String(positions[i]) : `${positions[from]} to ${positions[i]}`)
    i++
  }
  return out.length > 8 ? `${out.slice(0, 8).join(", ")} and others` : out.join(", ")
}

export const counted = (n: number, one: string): string => `${n} ${one}${n === 1 ? "" : "s"}`
