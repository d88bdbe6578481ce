// The number of data points that an OTLP receiver rejected in a request that it took. Its answer is not ours, so every
// length in it is checked.
//
//   response = PartialSuccess 1 {rejected data points 1, error message 2}

import type { Answer } from '../../telemetry/client.ts'

export interface Partial {
  readonly rejected: number
  readonly message: string
}

const NONE: Partial = { rejected: 0, message: '' }

export function partialSuccess({ headers, body, whole }: Answer): Partial {
  const type = headers.get('content-type') ?? ''
  if (!whole || body.length === 0 || headers.has('content-encoding')) return NONE
  if (/json/i.test(type)) return fromJson(body.toString())
  return /protobuf/i.test(type) ? fromProtobuf(body) : NONE
}

function fromJson(text: string): Partial {
  try {
    const found: unknown = JSON.parse(text)
    const partial = member(found, 'partialSuccess') ?? member(found, 'partial_success')
    const rejected = Number(member(partial, 'rejectedDataPoints') ?? member(partial, 'rejected_data_points') ?? 0)
    return { rejected: count(rejected), message: told(member(partial, 'errorMessage')) }
  } catch {
    return NONE
  }
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? Reflect.get(value, name)
    : undefined
}

function fromProtobuf(body: Buffer): Partial {
  let found = NONE
  fields(body, 0, body.length, (tag, start, end) => {
    if (tag !== 0x0a) return
    fields(body, start, end, (tag, from, to, value) => {
      if (tag === 0x08) found = { ...found, rejected: count(value) }
      else if (tag === 0x12) found = { ...found, message: told(body.toString('utf8', from, to)) }
    })
  })
  return found
}

/** Calls for each field; stops at the first that does not fit, or has a type that the answer does not use. */
function fields(
  body: Buffer,
  from: number,
  end: number,
  take: (tag: number, start: number, end: number, value: number) => void,
): void {
  let at = from
  const varint = (): number => {
    let [value, scale] = [0, 1]
    for (let i = 0; i < 10 && at < end; i++, scale *= 128) {
      const byte = body[at++]!
      value += (byte & 127) * scale
      if (byte < 128) return value
    }
    return Number.NaN
  }
  while (at < end) {
    const tag = varint()
    const value = varint()
    if (Number.isNaN(tag) || Number.isNaN(value)) return
    if ((tag & 7) === 0) take(tag, at, at, value)
    else if ((tag & 7) === 2 && value <= end - at) {
      take(tag, at, at + value, value)
      at += value
    } else return
  }
}

function count(value: number): number {
  return Number.isSafeInteger(value) && value > 0 ? value : 0
}

function told(value: unknown): string {
  return typeof value === 'string' ? value.replace(/[\x00-\x1f\x7f]+/g, ' ').slice(0, 150) : ''
}
