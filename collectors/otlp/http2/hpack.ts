// Decodes header blocks (HPACK, RFC 7541), and encodes those that leave the other side's table alone. The table that both
// sides share changes with the blocks, so every block of a connection is decoded, in order; only one that changes nothing and
// was seen before is recognised by its bytes. Those are the blocks of an SDK from its second call on, if they are all alike.
//
//   field = 1xxxxxxx index | 01xxxxxx name, value, kept in the table | 001xxxxx size of the table | 000xxxxx name, value

import { type Field, field } from './field.ts'
import { decodeHuffman } from './huffman.ts'

/** The fields of a block in order, or what is wrong with it. */
export type Block<Made> =
  | {
      readonly kind: 'fields'
      readonly fields: readonly Field[]
      /** For the caller to note what it has made of the fields; it is still there when the block comes again. */
      made: Made | undefined
    }
  /** It was decoded, and is larger than is allowed. */
  | { readonly kind: 'too_large' }
  /** It cannot be decoded, so the shared table is lost, and with it the connection. */
  | { readonly kind: 'broken' }

/** The size of the other side's table (SETTINGS_HEADER_TABLE_SIZE): the default. */
const TABLE_BYTES = 4096
/** An entry counts as its texts and these (section 4.1). */
const ENTRY_BYTES = 32
/** Recognised blocks of one connection: a client has one for each signal and encoding. */
const RECOGNISED = 8
/** A longer block is not recognised. */
const LONGEST_RECOGNISED = 1024

export class HeaderDecoder<Made> {
  readonly #mostBytes: number
  readonly #mostFields: number
  /** The newest entry first. */
  readonly #table: Field[] = []
  #tableBytes = 0
  #tableLimit = TABLE_BYTES
  /** The table is another one since this block began. */
  #changed = false
  readonly #recognised: { readonly bytes: Buffer; readonly block: Block<Made> }[] = []
  #pos = 0

  /** The size of a list of fields is that of their texts and 32 bytes for each (RFC 9113, section 6.5.2). */
  constructor(mostBytes: number, mostFields: number) {
    this.#mostBytes = mostBytes
    this.#mostFields = mostFields
  }

  decode(bytes: Buffer, start: number, end: number): Block<Made> {
    for (const each of this.#recognised)
      if (each.bytes.length === end - start && each.bytes.compare(bytes, start, end) === 0) return each.block
    this.#changed = false
    const block = this.#fields(bytes, start, end)
    if (this.#changed) this.#recognised.length = 0
    else if (block.kind === 'fields' && end - start <= LONGEST_RECOGNISED) {
      if (this.#recognised.length === RECOGNISED) this.#recognised.shift()
      this.#recognised.push({ bytes: Buffer.from(bytes.subarray(start, end)), block })
    }
    return block
  }

  #fields(bytes: Buffer, start: number, end: number): Block<Made> {
    const fields: Field[] = []
    let size = 0
    let count = 0
    this.#pos = start
    while (this.#pos < end) {
      const head = bytes[this.#pos]!
      if ((head & 0xe0) === 0x20) {
        // Only at the beginning of a block, and not above what is allowed (section 4.2).
        if (count > 0 || !this.#resize(this.#integer(bytes, end, 5))) return BROKEN
        continue
      }
      const next = head >= 0x80 ? this.#at(this.#integer(bytes, end, 7)) : this.#literal(bytes, end, head)
      if (!next) return BROKEN
      size += next.name.length + next.value.length + ENTRY_BYTES
      // It goes on to the end, since the table must stay as the other side has it.
      if (++count <= this.#mostFields && size <= this.#mostBytes) fields.push(next)
    }
    return count > fields.length ? TOO_LARGE : { kind: 'fields', fields, made: undefined }
  }

  #literal(bytes: Buffer, end: number, head: number): Field | undefined {
    const kept = head >= 0x40
    const index = this.#integer(bytes, end, kept ? 6 : 4)
    if (index < 0) return undefined
    const name = index === 0 ? this.#string(bytes, end) : this.#at(index)?.name
    const value = name === undefined ? undefined : this.#string(bytes, end)
    if (name === undefined || value === undefined) return undefined
    const made = field(name, value)
    if (kept) this.#keep(made)
    return made
  }

  /** The entry of an index: those that everybody has, then those of this connection. */
  #at(index: number): Field | undefined {
    return index <= STATIC.length ? STATIC[index - 1] : this.#table[index - STATIC.length - 1]
  }

  #keep(field: Field): void {
    const size = field.name.length + field.value.length + ENTRY_BYTES
    this.#changed = true
    this.#evict(size)
    // One that is larger than the table empties it, and is no error (section 4.4).
    if (size > this.#tableLimit) return
    this.#table.unshift(field)
    this.#tableBytes += size
  }

  #resize(limit: number): boolean {
    if (limit < 0 || limit > TABLE_BYTES) return false
    this.#changed = true
    this.#tableLimit = limit
    this.#evict(0)
    return true
  }

  #evict(room: number): void {
    while (this.#table.length > 0 && this.#tableBytes + room > this.#tableLimit) {
      const last = this.#table.pop()!
      this.#tableBytes -= last.name.length + last.value.length + ENTRY_BYTES
    }
  }

  /** An integer with a prefix of so many bits (section 5.1); -1 if it is cut off or larger than anything here can be. */
  #integer(bytes: Buffer, end: number, prefix: number): number {
    const most = (1 << prefix) - 1
    let value = bytes[this.#pos++]! & most
    if (value < most) return value
    for (let shift = 0; shift <= 21 && this.#pos < end; shift += 7) {
      const byte = bytes[this.#pos++]!
      value += (byte & 127) << shift
      if (byte < 128) return value
    }
    return -1
  }

  #string(bytes: Buffer, end: number): string | undefined {
    if (this.#pos >= end) return undefined
    const huffman = bytes[this.#pos]! >= 128
    const length = this.#integer(bytes, end, 7)
    const from = this.#pos
    if (length < 0 || from + length > end) return undefined
    this.#pos = from + length
    return huffman ? decodeHuffman(bytes, from, this.#pos) : bytes.toString('latin1', from, this.#pos)
  }
}

const BROKEN = { kind: 'broken' } as const
const TOO_LARGE = { kind: 'too_large' } as const

/**
 * A header block of literals that the other side does not keep, and of the index of :status 200. Names and values are printable
 * ASCII, sent as it is, without the Huffman code.
 */
export function headerBlock(fields: readonly (readonly [name: string, value: string])[]): Buffer {
  return Buffer.concat(
    fields.flatMap(([name, value]) =>
      name === ':status' && value === '200' ? [STATUS_200] : [LITERAL, text(name), text(value)],
    ),
  )
}

const STATUS_200 = Buffer.from([0x88])
const LITERAL = Buffer.from([0])

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1')
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes])
  const length = [127]
  let rest = bytes.length - 127
  for (; rest > 127; rest >>= 7) length.push((rest & 127) | 128)
  length.push(rest)
  return Buffer.concat([Buffer.from(length), bytes])
}

/** Appendix A. */
const STATIC: readonly Field[] = (
  ':authority|:method=GET|:method=POST|:path=/|:path=/index.html|:scheme=http|:scheme=https|:status=200|:status=204|' +
  ':status=206|:status=304|:status=400|:status=404|:status=500|accept-charset|accept-encoding=gzip, deflate|' +
  'accept-language|accept-ranges|accept|access-control-allow-origin|age|allow|authorization|cache-control|' +
  'content-disposition|content-encoding|content-language|content-length|content-location|content-range|content-type|' +
  'cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|if-unmodified-since|' +
  'last-modified|link|location|max-forwards|proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after|' +
  'server|set-cookie|strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate'
)
  .split('|')
  .map(text => {
    const [name = '', value = ''] = text.split('=')
    return field(name, value)
  })
