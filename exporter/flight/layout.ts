// The ring on disk: its layout, written and read. Everything read is checked: the file may be torn, of another
// version, or of somebody else.
//
//   file  = head 4096, state 4096, state 4096, row 512 × ROWS, text 512 × TEXTS
//   head  = magic 16, version u32, then as a block       JSON: owner, names of columns, when it was made
//   block = crc32 u32 of all that follows, length u32, sequence f64, JSON in UTF-8
//   row   = crc32 u32 of all that follows, length u32, sequence f64, wall f64, monotonic f64, a f64 for each column
//   text  = a block
//
// A slot is written by one call, and stands alone: one that is torn has a wrong checksum, and is left out. States are
// written in turn, so that one of the two is always whole.

import { crc32 } from 'node:zlib'

export const VERSION = 1
const MAGIC = Buffer.from('pillion-flight\n\0')
export const SLOT = 512
export const BLOCK = 4096
export const ROWS = 2048
export const TEXTS = 2048
export const RING_BYTES = 3 * BLOCK + SLOT * (ROWS + TEXTS)

const HEAD = 16
/** The text of a slot, in bytes. */
const SLOT_TEXT = SLOT - HEAD
const ROW_NUMBERS = Math.floor((SLOT - HEAD) / 8)

/** At the beginning of a file: whose it is. */
export function head(value: object): Buffer {
  const bytes = Buffer.alloc(BLOCK)
  MAGIC.copy(bytes)
  bytes.writeUInt32LE(VERSION, 16)
  sealed(value, 0, BLOCK - 20).copy(bytes, 20)
  return bytes
}

export function stateAt(sequence: number): number {
  return BLOCK * (1 + (sequence % 2))
}

export function rowAt(sequence: number): number {
  return 3 * BLOCK + SLOT * (sequence % ROWS)
}

export function textAt(sequence: number): number {
  return 3 * BLOCK + SLOT * (ROWS + (sequence % TEXTS))
}

/** A block around JSON; throws if it does not fit. */
export function sealed(value: object, sequence: number, size: number): Buffer {
  const bytes = Buffer.alloc(size)
  const json = JSON.stringify(value)
  const length = Buffer.byteLength(json)
  if (length > size - HEAD) throw new Error(`cannot write ${length} bytes into a block of ${size}`)
  bytes.write(json, HEAD)
  return seal(bytes, length, sequence)
}

/** A slot with a text, which is cut to what fits. */
export function textSlot(entry: TextEntry, sequence: number): Buffer {
  for (let most = 480; ; most = Math.floor(most * 0.8)) {
    const json = { ...entry, text: entry.text.length > most ? `${entry.text.slice(0, most)}…` : entry.text }
    if (Buffer.byteLength(JSON.stringify(json)) <= SLOT_TEXT) return sealed(json, sequence, SLOT)
    if (most < 8) return sealed({ at: entry.at, kind: entry.kind, text: '…' }, sequence, SLOT)
  }
}

export function rowSlot(wall: number, monotonic: number, values: readonly number[], sequence: number): Buffer {
  const bytes = Buffer.alloc(SLOT)
  let at = HEAD
  for (const value of [wall, monotonic, ...values.slice(0, ROW_NUMBERS - 2)]) at = bytes.writeDoubleLE(value, at)
  return seal(bytes, at - HEAD, sequence)
}

function seal(bytes: Buffer, length: number, sequence: number): Buffer {
  bytes.writeUInt32LE(length, 4)
  bytes.writeDoubleLE(sequence, 8)
  bytes.writeUInt32LE(crc32(bytes.subarray(4, HEAD + length)), 0)
  return bytes
}

/** Something that was said: a mark of the sampler, an episode, a log record of this severity. */
export interface TextEntry {
  readonly at: number
  readonly kind: string
  readonly text: string
  /** For a log record. */
  readonly service?: string
  readonly trace?: string
}

export interface Decoded {
  readonly head: unknown
  readonly state: unknown
  readonly rows: readonly (readonly number[])[]
  readonly texts: readonly TextEntry[]
  /** Slots that were written, and are not whole. */
  readonly torn: number
}

/** Throws an Error that says why this is no ring that can be read. */
export function decode(bytes: Buffer): Decoded {
  if (bytes.length < BLOCK || !bytes.subarray(0, 16).equals(MAGIC))
    throw new Error('it is no ring of a flight recorder')
  const version = bytes.readUInt32LE(16)
  if (version !== VERSION) throw new Error(`it is of version ${version}; this version of pillion reads ${VERSION}`)
  if (bytes.length !== RING_BYTES) throw new Error(`it has ${bytes.length} bytes instead of ${RING_BYTES}`)
  const first = open(bytes.subarray(20, BLOCK))
  if (typeof first === 'string') throw new Error('its head is torn')
  let torn = 0
  const slots = <Value>(from: number, count: number, size: number, read: (payload: Buffer) => Value | undefined) => {
    const found: { sequence: number; value: Value }[] = []
    for (let at = from, i = 0; i < count; i++, at += size) {
      const slot = open(bytes.subarray(at, at + size))
      if (slot === 'torn') torn++
      if (typeof slot === 'string') continue
      const value = read(slot.payload)
      if (value === undefined) torn++
      else found.push({ sequence: slot.sequence, value })
    }
    return found.sort((a, b) => a.sequence - b.sequence).map(({ value }) => value)
  }
  return {
    head: json(first.payload),
    state: slots(BLOCK, 2, BLOCK, json).at(-1),
    rows: slots(3 * BLOCK, ROWS, SLOT, numbers),
    texts: slots(3 * BLOCK + SLOT * ROWS, TEXTS, SLOT, payload => entry(json(payload))),
    torn,
  }
}

function open(slot: Buffer): { readonly sequence: number; readonly payload: Buffer } | 'empty' | 'torn' {
  const length = slot.readUInt32LE(4)
  const sum = slot.readUInt32LE(0)
  if (length === 0 && sum === 0) return 'empty'
  if (length > slot.length - HEAD || crc32(slot.subarray(4, HEAD + length)) !== sum) return 'torn'
  const sequence = slot.readDoubleLE(8)
  return Number.isFinite(sequence) ? { sequence, payload: slot.subarray(HEAD, HEAD + length) } : 'torn'
}

function json(payload: Buffer): unknown {
  try {
    return JSON.parse(payload.toString('utf8'))
  } catch {
    return undefined
  }
}

function numbers(payload: Buffer): readonly number[] | undefined {
  if (payload.length % 8 !== 0 || payload.length < 16) return undefined
  const values = Array.from({ length: payload.length / 8 }, (_, i) => payload.readDoubleLE(8 * i))
  return Number.isFinite(values[0]) && Number.isFinite(values[1]) ? values : undefined
}

function entry(value: unknown): TextEntry | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { at, kind, text, service, trace } = value as Readonly<Record<string, unknown>>
  if (typeof at !== 'number' || typeof kind !== 'string' || typeof text !== 'string') return undefined
  return {
    at,
    kind,
    text,
    ...(typeof service === 'string' && { service }),
    ...(typeof trace === 'string' && { trace }),
  }
}
