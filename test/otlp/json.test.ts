import { readFileSync } from 'node:fs'
import t from 'tap'
import { Check } from '../../otlp/check.ts'
import { transcode } from '../../otlp/json.ts'
import { message, REQUESTS } from '../../otlp/schema.ts'
import { decoder } from './protobufjs.ts'

const LIMIT = 1 << 24
const TRACES = message('TracesRequest')

/** A span with these members, as OTLP/JSON. */
function body(members: string): Buffer {
  return Buffer.from(`{"resourceSpans":[{"scopeSpans":[{"spans":[{${members}}]}]}]}`)
}

/** The span that protobufjs finds in what a JSON span became, or why it was refused. */
function span(members: string): Record<string, unknown> | string {
  const made = transcode(body(members), TRACES, LIMIT)
  if (!made.ok) return made.why
  return seen('traces', made.bytes).resourceSpans[0].scopeSpans[0].spans[0]
}

/** A request as protobufjs decodes it: bytes as hex, 64-bit numbers as text. */
function seen(signal: 'traces' | 'metrics' | 'logs', bytes: Buffer) {
  const type = decoder(signal)
  return plain(type.toObject(type.decode(bytes), { longs: String }))
}

// biome-ignore lint/suspicious/noExplicitAny: protobufjs gives objects of any shape, and each test says which it expects
function plain(value: any): any {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]))
}

/** The AnyValue of an attribute that is written like this. */
function value(json: string): unknown {
  const found = span(`"attributes":[{"key":"k","value":${json}}]`)
  return typeof found === 'string'
    ? found
    : found['attributes'] && (found['attributes'] as { value: unknown }[])[0]?.value
}

t.test('the official example requests become the protobuf that they describe', async t => {
  for (const [file, type] of [
    ['trace', 'traces'],
    ['metrics', 'metrics'],
    ['logs', 'logs'],
  ] as const) {
    const json = readFileSync(new URL(`../fixtures/otlp/${file}.json`, import.meta.url))
    const name = `${type[0]?.toUpperCase()}${type.slice(1)}Request`
    const made = transcode(json, message(name), LIMIT)
    if (!made.ok) throw new Error(made.why)
    const check = new Check()
    t.ok(check.run(made.bytes, message(name)))
    t.equal(check.items, { trace: 1, metrics: 4, logs: 1 }[file])
    t.same(normal(seen(type, made.bytes)), normal(JSON.parse(json.toString())), file)
  }
})

t.test('ids are hex of any case; what is not hex is refused', async t => {
  t.match(span('"traceId":"5B8EFFF798038103D269B633813FC60c","spanId":""'), {
    traceId: '5b8efff798038103d269b633813fc60c',
  })
  t.match(
    span('"traceId":"W47/95gDgQPSabYzgT/GDA=="'),
    /not hex at byte \d+, in resource_spans.scope_spans.spans.trace_id/,
  )
  t.match(span('"traceId":"abc"'), /not hex/)
  t.match(span('"traceId":"zz"'), /not hex/)
  t.match(span('"traceId":12'), /a string was expected/)
  t.match(span('"traceId":"ab"'), { traceId: 'ab' }, 'its length is judged with the span')
})

t.test('64-bit numbers keep every digit, as strings and as numbers', async t => {
  const start = (text: string) => {
    const found = span(`"startTimeUnixNano":${text}`)
    return typeof found === 'string' ? found : found['startTimeUnixNano']
  }
  t.equal(start('"1544712660000000001"'), '1544712660000000001')
  t.equal(start('1544712660000000001'), '1544712660000000001')
  t.equal(start('9007199254740993'), '9007199254740993')
  t.equal(start('"18446744073709551615"'), '18446744073709551615')
  t.equal(start('1e3'), '1000')
  t.equal(start('5.0'), '5')
  t.equal(start('1.7e18'), '1700000000000000000')
  t.equal(start('"1.544712660000000001E18"'), '1544712660000000001')
  t.equal(start('1844674407370955161.50e1'), '18446744073709551615')
  t.equal(start('1700000000000000000.00'), '1700000000000000000')
  t.equal(start('1000e-3'), '1')
  t.equal(start('0e999999'), start('0'))
  t.match(start('1.5e0'), /not a whole number/)
  t.match(start('1e-1'), /not a whole number/)
  t.match(start('1.8446744073709551616e19'), /out of range/)
  t.match(start('1e999999999'), /out of range/)
  t.match(start('"18446744073709551616"'), /out of range/)
  t.match(start('-1'), /out of range/)
  for (const trap of [
    '""',
    '" 1 "',
    '"0x10"',
    '"1_0"',
    '1.5',
    '"abc"',
    'true',
    '{}',
    '"NaN"',
    '1e400',
    `"${'9'.repeat(21)}"`,
  ])
    t.match(start(trap), /whole number|JSON value|not a/, trap)
  t.match(start(`"${'9'.repeat(10_000_000)}"`), /a number of 10000000 characters/)
  t.match(start('9'.repeat(10_000_000)), /a number of 10000000 characters/)
})

t.test('attribute values of every kind', async t => {
  t.same(value('{"stringValue":"x"}'), { stringValue: 'x' })
  t.same(value('{"boolValue":true}'), { boolValue: true })
  t.same(value('{"boolValue":false}'), { boolValue: false })
  t.same(value('{"intValue":"9223372036854775807"}'), { intValue: '9223372036854775807' })
  t.same(value('{"intValue":-9223372036854775808}'), { intValue: '-9223372036854775808' })
  t.match(value('{"intValue":"9223372036854775808"}'), /out of range/)
  t.same(value('{"doubleValue":1.5}'), { doubleValue: 1.5 })
  t.same(value('{"doubleValue":"NaN"}'), { doubleValue: Number.NaN })
  t.same(value('{"doubleValue":"-Infinity"}'), { doubleValue: Number.NEGATIVE_INFINITY })
  t.match(value('{"doubleValue":1e400}'), /range of doubles/)
  t.match(value('{"doubleValue":NaN}'), /not a JSON value/)
  t.match(value('{"boolValue":"true"}'), /true or false was expected/)
  t.same(value('{"bytesValue":"AP+/"}'), { bytesValue: '00ffbf' })
  t.same(value('{"bytesValue":"AP-_"}'), { bytesValue: '00ffbf' })
  t.same(value('{"bytesValue":"AA"}'), { bytesValue: '00' })
  t.same(value('{"bytesValue":"AA=="}'), { bytesValue: '00' })
  for (const trap of ['A', 'AA=', 'A===', 'A A=', '****'])
    t.match(value(`{"bytesValue":"${trap}"}`), /not base64/, trap)
  t.same(value('{"arrayValue":{"values":[{"intValue":1},{}]}}'), { arrayValue: { values: [{ intValue: '1' }, {}] } })
  t.same(value('{"kvlistValue":{"values":[{"key":"a","value":{"stringValue":"b"}}]}}'), {
    kvlistValue: { values: [{ key: 'a', value: { stringValue: 'b' } }] },
  })
  t.same(value('{}'), {})
  t.same(value('null'), null)
})

t.test('enums are integers; their names are accepted, others are not', async t => {
  t.match(span('"kind":2'), { kind: 2 })
  t.match(span('"kind":"SPAN_KIND_CLIENT"'), { kind: 3 })
  t.match(span('"kind":"2"'), { kind: 2 })
  t.match(span('"kind":-1'), { kind: -1 })
  t.match(span('"kind":"CLIENT"'), /not a whole number/)
  t.match(span('"status":{"code":"STATUS_CODE_ERROR"}'), { status: { code: 2 } })
})

t.test('keys: unknown ones are ignored, snake_case is accepted, nulls are absent', async t => {
  t.match(span('"name":"a","x":{"y":[1,"]",{"z":null}]},"kind":1'), { name: 'a', kind: 1 })
  t.match(span('"trace_id":"ab","start_time_unix_nano":5'), { traceId: 'ab', startTimeUnixNano: '5' })
  t.match(span('"name":null,"events":null,"status":null,"kind":1'), { kind: 1 })
  t.match(span('"__proto__":{"name":"x"},"constructor":1,"name":"a"'), { name: 'a' })
  t.match(span('"name":"a","name":"b"'), { name: 'b' }, 'of a key that occurs twice the last one holds')
  t.match(span('"\\u006eame":"a"'), { name: 'a' }, 'keys may be escaped')
  t.equal(({} as Record<string, unknown>)['name'], undefined)
})

t.test('texts: escapes, surrogates, and bytes that are not UTF-8', async t => {
  const name = (text: string) => {
    const found = span(`"name":"${text}"`)
    return typeof found === 'string' ? found : found['name']
  }
  t.equal(name('\\"\\\\\\/\\b\\f\\n\\r\\t'), '"\\/\b\f\n\r\t')
  t.equal(name('a\\u00e4\\ud83d\\ude00b'), 'aä😀b')
  t.equal(name('ä😀'), 'ä😀')
  t.equal(name('\\ud83d'), '\ufffd', 'a lone surrogate cannot be said in UTF-8')
  t.equal(name('\\u0000'), '\0')
  t.match(name('\\x'), /an escape that does not exist/)
  t.match(name('\\u12'), /\\uXXXX/)
  t.match(name('a\nb'), /a control character/)
  t.equal(name('\\n'.repeat(5000)), '\n'.repeat(5000))
  t.equal(name(`${'\\n'.repeat(1023)}\\ud83d\\ude00`), `${'\n'.repeat(1023)}😀`)
  const made = transcode(Buffer.from('{"resourceSpans":[{"schemaUrl":"\xff"}]}', 'latin1'), TRACES, LIMIT)
  t.same(made.ok && made.bytes, Buffer.from('0a031a01ff', 'hex'))
})

t.test('a body that is not a JSON object of the right shape is refused at its byte', async t => {
  const why = (text: string | Buffer) => {
    const made = transcode(Buffer.from(text), TRACES, LIMIT)
    return made.ok ? 'accepted' : made.why
  }
  t.equal(why('{}'), 'accepted')
  t.equal(why(' \t\r\n{ } \n'), 'accepted')
  t.match(why(''), /\{ was expected at byte 0/)
  t.match(why('[]'), /\{ was expected at byte 0/)
  t.match(why('null'), /\{ was expected/)
  t.match(why('\ufeff{}'), /\{ was expected at byte 0/, 'a byte order mark')
  t.match(why('{} x'), /after the end of the value at byte 3/)
  t.match(why('{"a":1,}'), /a string was expected at byte 7/)
  t.match(why('{"a" 1}'), /a colon was expected/)
  t.match(why('{"a":1 "b":2}'), /a comma or \} was expected/)
  t.match(why("{'a':1}"), /a string was expected/)
  t.match(why('{"a":01}'), /not a JSON value/)
  t.match(why('{"a":+1}'), /not a JSON value/)
  t.match(why('{"a":.5}'), /not a JSON value/)
  t.match(why('{"a":tru}'), /true was expected/)
  t.match(why('{"a"'), /a colon was expected/)
  t.match(why('{"a'), /cut off/)
  t.match(why('{"resourceSpans":{}}'), /\[ was expected at byte 17, in resource_spans/)
  t.match(why('{"resourceSpans":[{}'), /a comma or \] was expected/)
  t.equal(why('{"resourceSpans":[]}'), 'accepted')
})

t.test('a null in an array costs what it stands for, and not the batch', async t => {
  const bytes = (signal: 'traces' | 'metrics', json: string) => {
    const made = transcode(Buffer.from(json), REQUESTS[signal], LIMIT)
    return made.ok ? made.bytes.toString('hex') : made.why
  }
  const same = (signal: 'traces' | 'metrics', json: string, other: string) =>
    t.equal(bytes(signal, json), bytes(signal, other), json)
  same('traces', '{"resourceSpans":[null]}', '{"resourceSpans":[{}]}')
  same(
    'traces',
    '{"resourceSpans":[{"scopeSpans":[{"spans":[null,{"name":"a"}]}]}]}',
    '{"resourceSpans":[{"scopeSpans":[{"spans":[{},{"name":"a"}]}]}]}',
  )
  const span = (attributes: string) => `{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":${attributes}}]}]}]}`
  const values = (array: string) => span(`[{"key":"a","value":{"arrayValue":{"values":${array}}}}]`)
  same('traces', span('[null,{"key":"a"}]'), span('[{},{"key":"a"}]'))
  same('traces', values('[null,{"intValue":1}]'), values('[{},{"intValue":1}]'))
  // JSON.stringify makes null of the bound Infinity; the data point is refused for it, and nothing else is.
  const points = (bounds: string) =>
    `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"histogram":{"dataPoints":[{"explicitBounds":${bounds}}]}}]}]}]}`
  same('metrics', points('[1,null]'), points('[1,0]'))
  const counts = (counts: string) =>
    `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"histogram":{"dataPoints":[{"bucketCounts":${counts}}]}}]}]}]}`
  same('metrics', counts('[1,null]'), counts('[1,0]'))
  const ids = (keys: string) => `{"resourceSpans":[{"resource":{"entityRefs":[{"idKeys":${keys}}]}}]}`
  same('traces', ids('["a",null]'), ids('["a",""]'))
})

t.test('nesting is bounded, known or unknown', async t => {
  const why = (text: string) => {
    const made = transcode(Buffer.from(text), TRACES, LIMIT)
    return made.ok ? 'accepted' : made.why
  }
  t.match(why('['.repeat(5_000_000)), /\{ was expected/)
  t.match(why(`{"x":${'['.repeat(4_000_000)}`), /more than 200/)
  t.match(why(`{"x":${'{"x":'.repeat(500_000)}`), /more than 200/)
  const list = (depth: number) => {
    const inner = '{"kvlistValue":{"values":[{"key":"k","value":'.repeat(depth)
    return `"attributes":[{"key":"k","value":${inner}{}${'}]}}'.repeat(depth)}}]`
  }
  t.type(span(list(30)), 'object')
  t.match(span(list(60)), /more than/)
  t.match(span(list(20_000)), /more than/)
})

t.test('a request that is larger in protobuf than in JSON is bounded as well', async t => {
  const point = `{"bucketCounts":[${'0,'.repeat(100_000)}0]}`
  const metric = `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"histogram":{"dataPoints":[${point}]}}]}]}]}`
  t.match(transcode(Buffer.from(metric), message('MetricsRequest'), LIMIT), { ok: true })
  t.match(transcode(Buffer.from(metric), message('MetricsRequest'), 200_000), { ok: false, reason: 'too_large' })
})

/** Both sides in one spelling: hex in lower case, numbers as text, nothing that is a default. */
function normal(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(normal)
  if (typeof value === 'string' && /^[0-9A-F]{16,32}$/.test(value)) return value.toLowerCase()
  if (typeof value === 'number') return String(value)
  if (typeof value !== 'object' || value === null) return value
  const members = Object.entries(value).filter(
    ([, each]) => each !== '' && each !== 0 && !(Array.isArray(each) && each.length === 0),
  )
  return Object.fromEntries(
    members.map(([key, each]) => [key, normal(each)]).toSorted(([a], [b]) => (String(a) < String(b) ? -1 : 1)),
  )
}
