// Compares ids by words of four bytes.

/** Whether the same bytes stand at two places; their number is a multiple of four. */
export function sameWords(one: DataView, at: number, other: DataView, from: number, bytes: number): boolean {
  // In most ids the bytes that differ most come last.
  for (let i = bytes - 4; i >= 0; i -= 4)
    if (one.getInt32(at + i, true) !== other.getInt32(from + i, true)) return false
  return true
}
