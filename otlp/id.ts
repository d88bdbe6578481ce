// Ids of traces, in the bytes of a request.

/** Whether the same 16 bytes stand at two places. In most ids the bytes that differ most come last. */
export function sameId(data: DataView, one: number, other: number): boolean {
  return (
    data.getInt32(one + 12, true) === data.getInt32(other + 12, true) &&
    data.getInt32(one + 8, true) === data.getInt32(other + 8, true) &&
    data.getInt32(one + 4, true) === data.getInt32(other + 4, true) &&
    data.getInt32(one, true) === data.getInt32(other, true)
  )
}
