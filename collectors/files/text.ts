// Bytes of lines as text: what no back end can use is taken out, and what is no UTF-8 is replaced.

const ESC = 27

/** The text between the offsets, if it must be changed before it is a body: undefined if it may be taken as it is. */
export function cleaned(bytes: Buffer, start: number, end: number, utf8: boolean): Buffer | undefined {
  const escaped = indexWithin(bytes, ESC, start, end) >= 0
  const zero = indexWithin(bytes, 0, start, end) >= 0
  if (utf8 && !escaped && !zero) return undefined
  // Bytes that are no UTF-8 become U+FFFD: protobuf's readers refuse a whole request for one of them.
  let text = bytes.toString('utf8', start, end)
  // Colours are for terminals, and stand between a word and its neighbours.
  if (escaped) text = text.replace(/\x1b\[[\d;:?]{0,32}[@-~]/g, '')
  // A file that was truncated under its writer has a hole in it, which reads as zeros; databases refuse them in text.
  if (zero) text = text.replaceAll('\0', '')
  return Buffer.from(text)
}

function indexWithin(bytes: Buffer, byte: number, start: number, end: number): number {
  const at = bytes.subarray(start, end).indexOf(byte)
  return at < 0 ? at : at + start
}

/** The largest offset up to `end` that is not inside of a character. */
export function wholeCharacters(bytes: Buffer, start: number, end: number): number {
  for (let at = end; at > Math.max(start, end - 4); at--) if ((bytes[at]! & 0xc0) !== 0x80) return at
  return end
}
