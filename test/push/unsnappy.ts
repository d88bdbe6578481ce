// Snappy's block format, read byte by byte as its description says, to hold the encoder against.

export function uncompress(block: Buffer): Buffer {
  let at = 0
  let length = 0
  for (let scale = 1; ; scale *= 128) {
    const byte = block[at++]!
    length += (byte & 127) * scale
    if (byte < 128) break
  }
  const plain = Buffer.alloc(length)
  let to = 0
  while (at < block.length) {
    const tag = block[at++]!
    if ((tag & 3) === 0) {
      let size = tag >> 2
      if (size >= 60) {
        const bytes = size - 59
        size = block.readUIntLE(at, bytes)
        at += bytes
      }
      size++
      if (at + size > block.length || to + size > length) throw new Error('a literal is longer than the block')
      block.copy(plain, to, at, at + size)
      at += size
      to += size
      continue
    }
    let [size, offset] = [0, 0]
    if ((tag & 3) === 1) {
      size = ((tag >> 2) & 7) + 4
      offset = ((tag >> 5) << 8) | block[at++]!
    } else if ((tag & 3) === 2) {
      size = (tag >> 2) + 1
      offset = block.readUInt16LE(at)
      at += 2
    } else throw new Error('an offset of four bytes, which the encoder never writes')
    if (offset === 0 || offset > to || to + size > length) throw new Error('a copy from nowhere')
    for (let i = 0; i < size; i++, to++) plain[to] = plain[to - offset]!
  }
  if (to !== length) throw new Error(`${to} bytes instead of ${length}`)
  return plain
}
