// Attributes and resources as OTLP writes them, for those who make telemetry.

import { LENGTH, VARINT } from './wire.ts'
import { Writer } from './writer.ts'

/** The attributes of one record, and the depth of their values; what is more is counted, or written as text. */
export const MOST_ATTRIBUTES = 128
const MOST_DEPTH = 6
const MOST_BYTES = 4 * 1024 * 1024

/** The bytes of one or more fields, written once and copied many times. */
export function encoded(write: (writer: Writer) => void): Buffer {
  const writer = new Writer(256, MOST_BYTES)
  write(writer)
  return Buffer.from(writer.finish())
}

/** The Resource with these attributes, as field 1 of what stands around it. */
export function resourceOf(attributes: Readonly<Record<string, string>>): Buffer {
  return encoded(writer => {
    writer.tag(1, LENGTH)
    const resource = writer.begin()
    for (const [key, value] of Object.entries(attributes)) attribute(writer, 1, key, value)
    writer.end(resource)
  })
}

/** A KeyValue as this field. */
export function attribute(writer: Writer, field: number, key: string, value: unknown): void {
  writer.tag(field, LENGTH)
  const pair = writer.begin()
  writer.tag(1, LENGTH)
  text(writer, key)
  writer.tag(2, LENGTH)
  const any = writer.begin()
  write(writer, value, MOST_DEPTH)
  writer.end(any)
  writer.end(pair)
}

/** The members of an AnyValue: string 1, bool 2, int 3, double 4, array 5, list of pairs 6; nothing for null. */
function write(writer: Writer, value: unknown, depth: number): void {
  switch (typeof value) {
    case 'string':
      writer.tag(1, LENGTH)
      text(writer, value)
      return
    case 'boolean':
      writer.tag(2, VARINT)
      writer.varint(value ? 1 : 0)
      return
    case 'number':
      if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
        const high = Math.floor(value / 0x100000000)
        writer.tag(3, VARINT)
        writer.varint64(value - high * 0x100000000, high >>> 0)
      } else {
        writer.tag(4, 1)
        writer.double(value)
      }
      return
    case 'object': {
      if (value === null) return
      if (depth === 0) {
        writer.tag(1, LENGTH)
        text(writer, asText(value))
        return
      }
      if (Array.isArray(value)) {
        writer.tag(5, LENGTH)
        const all = writer.begin()
        for (const each of value.slice(0, MOST_ATTRIBUTES)) {
          writer.tag(1, LENGTH)
          const any = writer.begin()
          write(writer, each, depth - 1)
          writer.end(any)
        }
        writer.end(all)
        return
      }
      writer.tag(6, LENGTH)
      const all = writer.begin()
      let count = 0
      for (const key in value) {
        if (count++ === MOST_ATTRIBUTES) break
        writer.tag(1, LENGTH)
        const pair = writer.begin()
        writer.tag(1, LENGTH)
        text(writer, key)
        writer.tag(2, LENGTH)
        const any = writer.begin()
        write(writer, (value as Readonly<Record<string, unknown>>)[key], depth - 1)
        writer.end(any)
        writer.end(pair)
      }
      writer.end(all)
    }
  }
}

function asText(value: object): string {
  try {
    return JSON.stringify(value)
  } catch {
    // Nested deeper than the stack.
    return '…'
  }
}

/** The length and the text. */
export function text(writer: Writer, value: string): void {
  const begun = writer.begin()
  writer.text(value)
  writer.end(begun)
}
