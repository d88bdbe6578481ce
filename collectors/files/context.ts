// The file that a line stands in, as its source needs it: the attributes of its records, and beginnings of lines that container
// runtimes have divided.

import { attribute, encoded } from '../../otlp/attributes.ts'
import type { SourceOptions } from './options.ts'

export class FileContext {
  readonly attributes: readonly Buffer[]
  readonly #streams = new Map<string, readonly Buffer[]>()
  readonly partial = new Partial()

  constructor(path: string, stream: SourceOptions['stream']) {
    const name = path.slice(path.lastIndexOf('/') + 1)
    // The name of the file of a captured stream says nothing.
    this.attributes = [
      stream === 'none' ? encoded(writer => attribute(writer, 6, 'log.file.name', name)) : streamAttribute(stream),
    ]
  }

  with(stream: string, encodedStream: Buffer): readonly Buffer[] {
    let all = this.#streams.get(stream)
    if (!all) {
      all = [...this.attributes, encodedStream]
      this.#streams.set(stream, all)
    }
    return all
  }
}

/** The beginnings of lines that container runtimes have divided, by stream. */
export class Partial {
  readonly #parts = new Map<string, { readonly all: Buffer[]; bytes: number }>()

  get held(): boolean {
    return this.#parts.size > 0
  }

  has(stream: string): boolean {
    return this.#parts.has(stream)
  }

  /** False if it is more than a line may have; the rest is left out then. */
  add(stream: string, bytes: Buffer, start: number, end: number, most: number): boolean {
    const parts = this.#parts.get(stream) ?? { all: [], bytes: 0 }
    this.#parts.set(stream, parts)
    if (parts.bytes >= most) return true
    const taken = Math.min(end, start + most - parts.bytes)
    // The bytes are of a buffer that is used again.
    parts.all.push(Buffer.from(bytes.subarray(start, taken)))
    parts.bytes += taken - start
    if (taken === end) return true
    parts.bytes = most
    return false
  }

  take(stream: string): Buffer | undefined {
    const parts = this.#parts.get(stream)
    this.#parts.delete(stream)
    return parts && Buffer.concat(parts.all)
  }
}

/** The attribute log.iostream, encoded. */
export function streamAttribute(stream: string): Buffer {
  return encoded(writer => attribute(writer, 6, 'log.iostream', stream))
}
