// Header blocks are decoded as node:http2 and Python's hpack mean them, and broken ones are refused where Python refuses them.

import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { connect, type OutgoingHttpHeaders, sensitiveHeaders } from 'node:http2'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { HeaderDecoder, headerBlock } from '../../../collectors/otlp/http2/hpack.ts'
import { absent, FOLDER } from '../../deploy/judges.ts'
import fc from '../../property.ts'
import { hex } from '../requests.ts'
import { echo } from './echo.ts'

t.setTimeout(120_000)

const SEED = Number(process.env['FUZZ_SEED'] ?? 20)
const LARGE = 1 << 24

type Pairs = readonly (readonly [name: string, value: string])[]

/** Decodes the blocks of one connection; what the last one says, or null if it or one before it is broken. */
function decoded(blocks: readonly Buffer[]): Pairs | null {
  const decoder = new HeaderDecoder<never>(LARGE, LARGE)
  let last: Pairs | null = null
  for (const block of blocks) {
    // As it lies in a chunk: with other bytes around it.
    const chunk = Buffer.concat([Buffer.from([0xff]), block, Buffer.from([0xff])])
    const result = decoder.decode(chunk, 1, 1 + block.length)
    if (result.kind !== 'fields') return null
    last = result.fields.map(({ name, value }) => [name, value])
  }
  return last
}

function python(args: readonly string[], input = ''): string[] {
  const peer = fileURLToPath(new URL('peer.py', import.meta.url))
  const options = { input, encoding: 'utf8', maxBuffer: 1 << 28 } as const
  return execFileSync(join(FOLDER, 'bin/python'), [peer, ...args], options)
    .trim()
    .split('\n')
}

t.test('the examples of RFC 7541, appendix C', async t => {
  const f = (blocks: readonly string[], expected: Pairs) => t.same(decoded(blocks.map(hex)), expected)
  const www: Pairs = [
    [':method', 'GET'],
    [':scheme', 'http'],
    [':path', '/'],
    [':authority', 'www.example.com'],
  ]
  f(['400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572'], [['custom-key', 'custom-header']])
  f(['040c 2f73 616d 706c 652f 7061 7468'], [[':path', '/sample/path']])
  f(['1008 7061 7373 776f 7264 0673 6563 7265 74'], [['password', 'secret']])
  const plain = '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d'
  const huffman = '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff'
  for (const [first, second] of [
    [plain, '8286 84be 5808 6e6f 2d63 6163 6865'],
    [huffman, '8286 84be 5886 a8eb 1064 9cbf'],
  ] as const) {
    f([first], www)
    f([first, second], [...www, ['cache-control', 'no-cache']])
  }
})

t.test('blocks that node:http2 sends arrive as they were meant, with a table that changes all the time', async t => {
  const { port, heads } = await echo(t)
  const session = connect(`http://127.0.0.1:${port}`)
  t.teardown(() => session.destroy())
  const name = fc.constantFrom('x-a', 'x-b', 'user-agent', 'grpc-timeout', 'grpc-encoding', 'x-a-long-name-of-a-header')
  const printable = fc.string({ unit: 'grapheme-ascii', maxLength: 400 }).map(text => text.trim())
  const value = fc.oneof(fc.constantFrom('gzip', '10S', '9999m'), printable)
  const headers = fc.dictionary(name, value, { maxKeys: 6 })
  for (const each of fc.sample(headers, { numRuns: 1000, seed: SEED })) {
    // A sensitive field is sent as one that is never kept.
    const sent: OutgoingHttpHeaders = { ':method': 'POST', ':path': '/', ...each, [sensitiveHeaders]: ['x-b'] }
    const stream = session.request(sent, { endStream: true })
    stream.resume()
    await once(stream, 'close')
    const regular = heads.at(-1)?.filter(({ pseudo }) => !pseudo)
    const arrived = Object.fromEntries(regular?.map(({ name, value }) => [name, value]) ?? [])
    t.strictSame(arrived, { ...each }, JSON.stringify(each))
  }
  t.equal(heads.length, 1000)
})

t.test(
  'blocks that Python sends arrive as they were meant, through changes of the size of the table',
  { skip: absent },
  async t => {
    let blocks = 0
    for (const line of python(['encode', String(SEED)])) {
      const connection: readonly (readonly [string, Pairs])[] = JSON.parse(line)
      for (const [i, [, fields]] of connection.entries()) {
        t.same(decoded(connection.slice(0, i + 1).map(([block]) => hex(block))), fields)
        blocks += 1
      }
    }
    t.ok(blocks > 800, `${blocks} blocks`)
  },
)

t.test('blocks with changed bytes mean the same to Python, or nothing to both', { skip: absent }, async t => {
  const random = fc.sample(fc.nat(), { numRuns: 200_000, seed: SEED })[Symbol.iterator]()
  const below = (limit: number) => (random.next().value ?? 0) % Math.max(1, limit)
  const connections: Buffer[][] = []
  for (const line of python(['encode', String(SEED + 1)]))
    for (let n = 0; n < 20; n += 1) {
      const all = (JSON.parse(line) as readonly (readonly [string, Pairs])[]).map(([block]) => hex(block))
      const blocks = all.slice(0, 1 + below(all.length))
      const last = blocks.at(-1)
      if (!last || last.length === 0) continue
      for (let change = below(3); change >= 0; change -= 1) last[below(last.length)] = below(256)
      connections.push([...blocks.slice(0, -1), below(4) === 0 ? last.subarray(0, below(last.length)) : last])
    }
  const input = connections.map(blocks => JSON.stringify(blocks.map(block => block.toString('hex')))).join('\n')
  const theirs = python(['decode'], input).map(line => JSON.parse(line) as Pairs | null)
  let broken = 0
  for (const [i, blocks] of connections.entries()) {
    const ours = decoded(blocks)
    t.same(ours, theirs[i], blocks.map(block => block.toString('hex')).join(' '))
    if (ours === null) broken += 1
  }
  t.comment(`${connections.length} connections, ${broken} broken`)
  t.ok(broken > 100 && broken < connections.length - 100)
})

t.test('the blocks of answers are read by Python', { skip: absent }, async t => {
  const fields: Pairs = [
    [':status', '200'],
    ['content-type', 'application/grpc'],
    ...[126, 127, 128, 254, 255, 1000, 20_000].map(size => ['grpc-message', 'x'.repeat(size)] as const),
  ]
  const [line = ''] = python(['decode'], JSON.stringify([headerBlock(fields).toString('hex')]))
  t.same(JSON.parse(line), fields)
  t.same(decoded([headerBlock(fields)]), fields)
})
