/**
 * The LUN of a PDU: peripheral device addressing on bus 0, or flat space (SAM-5 §4.7.7); anything else names no unit of ours.
 */
export const lunOf = (b: Uint8Array, h: number): number => {
  const first = b[h + 8]!
  if (first !== 0 && first !== 0x40) return -1
  for (let i = 10; i < 16; i++) if (b[h + i] !== 0) return -1
  return b[h + 9]!
}
