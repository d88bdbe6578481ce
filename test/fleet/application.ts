// Applications of a fleet: each sends spans to its sidecar, one request after another.

import type { Ride } from '../e2e/ride.ts'

export const SPANS = 25
/** Spans of a request with an error. */
export const ERRORS = 3

/** Sends requests number `from` to `to`; gives back how many spans were taken. */
export async function application(n: number, { otlp }: Ride, from: number, to: number): Promise<number> {
  const resource = { attributes: [{ key: 'service.name', value: { stringValue: `service-${n}` } }] }
  let taken = 0
  for (let r = from; r < to; r++) {
    const now = BigInt(Date.now()) * 1_000_000n
    const spans = Array.from({ length: SPANS }, (_, i) => ({
      // The last seven bytes are the randomness that sampling goes by: neighbours must differ in their first bits.
      traceId: `${hex(n + 1, 8)}${hex(r + 1, 8)}${hex(0, 2)}${hex(mixed(n * 1e6 + r * 100 + i), 8)}${hex(i + 1, 6)}`,
      spanId: `${hex(n + 1, 4)}${hex(r + 1, 6)}${hex(i + 1, 6)}`,
      name: 'GET /',
      kind: 2,
      startTimeUnixNano: String(now - 1_000_000n),
      endTimeUnixNano: String(now),
      ...(i % 10 === 0 && { status: { code: 2 } }),
    }))
    const body = JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ spans }] }] })
    const headers = { 'content-type': 'application/json' }
    const { status } = await fetch(`${otlp}/v1/traces`, { method: 'POST', headers, body })
    if (status === 200) taken += SPANS
  }
  return taken
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0')
}

/** 32 bits in which every bit of a number has a part. */
function mixed(value: number): number {
  let bits = Math.imul(value ^ (value >>> 16), 0x45d9f3b)
  bits = Math.imul(bits ^ (bits >>> 16), 0x45d9f3b)
  return (bits ^ (bits >>> 16)) >>> 0
}
