// Compressing bodies with streams that are used again.

import { gunzipSync, gzipSync, zstdDecompressSync } from 'node:zlib'
import t from 'tap'
import { type Coding, compress, trimCompressors } from '../../exporter/forward/compress.ts'

const OPEN: Readonly<Record<Coding, (bytes: Buffer) => Buffer>> = {
  gzip: bytes => gunzipSync(bytes),
  zstd: bytes => zstdDecompressSync(bytes),
  none: bytes => bytes,
}

/** Text like telemetry, or bytes that cannot be compressed, of this size. */
function body(size: number, random: boolean): Buffer {
  if (random) return Buffer.from(crypto.getRandomValues(new Uint8Array(Math.min(size, 65_536))))
  let text = ''
  for (let i = 0; text.length < size; i++) text += `GET /users/{id}/orders ${i * 7919} SPAN_KIND_SERVER shop `
  return Buffer.from(text.slice(0, size))
}

const SIZES = [1, 100, 8191, 8192, 30_000, 262_144, 65_535, 65_536, 900_000, 262_143]

for (const coding of ['gzip', 'zstd', 'none'] as const)
  t.test(`${coding}: each body is compressed by itself, whatever came before it and at the same time`, async t => {
    for (const random of [false, true])
      for (const size of SIZES) {
        const bytes = body(size, random)
        const made = await compress(coding, bytes)
        t.ok(OPEN[coding](made).equals(bytes), `${size} bytes${random ? ', random' : ''}`)
      }
    const many = Array.from({ length: 24 }, (_, i) => body(SIZES[i % SIZES.length]! + i, i % 3 === 0))
    const made = await Promise.all(many.map(bytes => compress(coding, bytes)))
    t.ok(
      made.every((each, i) => OPEN[coding](each).equals(many[i]!)),
      'many at the same time',
    )
  })

t.test('a compressed body stays as it is while others are made', async t => {
  const bytes = body(262_144, false)
  const first = await compress('gzip', bytes)
  const copy = Buffer.from(first)
  for (let i = 0; i < 20; i++) await compress('gzip', body(262_144 - i, i % 2 === 0))
  t.ok(first.equals(copy))
})

t.test('a body is as small as one that a stream of its own makes', async t => {
  const bytes = body(262_144, false)
  for (let i = 0; i < 3; i++)
    t.equal((await compress('gzip', bytes)).length, gzipSync(bytes, { level: 1, memLevel: 9 }).length)
})

t.test('after the memory was given back, bodies are compressed again', async t => {
  for (let i = 0; i < 3; i++) {
    trimCompressors()
    const bytes = body(100_000, false)
    t.ok(gunzipSync(await compress('gzip', bytes)).equals(bytes))
  }
})
