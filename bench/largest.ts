// The largest requests that the OTLP receivers accept by default (16 MiB of protobuf, 4 MiB of JSON, 50,000 items), of the
// kinds that cost most: very many ordinary items, new names and label sets, and as many tiny fields as possible.

import type { Signal } from '../telemetry/request.ts'

const MIB = 1024 * 1024
export const PROTOBUF = 16 * MIB
export const JSON_BYTES = 4 * MIB
const ITEMS = 50_000
const FIELDS = 500_000

export interface Input {
  readonly name: string
  readonly signal: Signal
  readonly encoding: 'protobuf' | 'json'
  /** The status of the answer. */
  readonly code: 200 | 400 | 413
  /** Made when it is needed, since all together are a gigabyte; new names are new each time. */
  make(turn: number, size: number): Buffer
}

/** The size limit of the request that is being made, for functions that repeat something until it is full. */
let room = PROTOBUF

const EMPTY: Buffer = Buffer.alloc(0)
/** Fields of two bytes: one that no schema has (number 30, three bytes), a group of it, and empty messages. */
const UNKNOWN = bytes('78 00')
const GROUP = bytes('7b 7c')
/** The attributes of a resource: empty, and with an empty value. */
const NO_PAIR = bytes('0a 00')
const TINY_PAIR = bytes('0a 02 12 00')
/** An attribute of a span that no consumer reads, and one of a point; 50,000 items with it fill the request. */
const PAD = ld(9, ld(1, 'pad'), ld(2, ld(1, 'x'.repeat(215))))
const PAD_POINT = ld(7, ld(1, 'pad'), ld(2, ld(1, 'x'.repeat(255))))
const TWENTY_PAIRS = Buffer.concat(Array.from({ length: 20 }, (_, n) => attribute(1, `key-${n}`, 'x')))

const SPANS_JSON = ['{"resourceSpans":[{"scopeSpans":[{"spans":[', ']}]}]}'] as const
const RECORDS_JSON = ['{"resourceLogs":[{"scopeLogs":[{"logRecords":[', ']}]}]}'] as const
const POINTS_JSON = [
  '{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"a","gauge":{"dataPoints":[',
  ']}}]}]}]}',
] as const
const SPAN_JSON = `{"traceId":"${'ab'.repeat(16)}","spanId":"${'cd'.repeat(8)}","name":"GET /","kind":2,"startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000000250000000","attributes":[{"key":"a","value":{"stringValue":"b"}}]}`

export const INPUTS: readonly Input[] = [
  traces('50,000 spans, known, 16 MiB', () => spans(n => span('GET /', n, 2, PAD))),
  traces('50,000 span names, new', turn => spans(n => span(`GET /${turn}/${n}`, n, 2))),
  traces('50,000 resources, new', turn => each(n => ld(1, service(`s-${turn}-${n}`), ld(2, ld(2, span('a', n, 2)))))),
  traces('50,000 peers, new', turn => spans(n => span('a', n, 3, attribute(9, 'peer.service', `p-${turn}-${n}`)))),
  traces('50,000 databases, new', turn => spans(n => span('a', n, 3, attribute(9, 'db.name', `p-${turn}-${n}`)))),
  traces('one bad span in 50,000, 16 MiB', () => spans(n => (n === 0 ? EMPTY : span('GET /', n, 2, PAD)))),
  traces('traces of unknown fields', () => filled(UNKNOWN)),
  traces('traces of groups', () => filled(GROUP)),
  traces('a group of groups', () => filled(GROUP, bytes('7b'), bytes('7c'))),
  traces('traces of empty resources', () => filled(NO_PAIR)),
  traces('ResourceSpans of unknown fields', () => ld(1, filled(UNKNOWN, ld(2, ld(2, span('a', 1, 2)))))),
  traces('ResourceSpans of tiny resources', () => ld(1, crowd(bytes('0a 02 10 00'), ld(2, ld(2, span('a', 1, 2)))))),
  traces('a resource of empty attributes', () => ld(1, ld(1, crowd(NO_PAIR)), ld(2, ld(2, span('a', 1, 2))))),
  traces('a resource of tiny attributes', () => ld(1, ld(1, crowd(TINY_PAIR)), ld(2, ld(2, span('a', 1, 2))))),
  traces('a span of unknown fields', () => ld(1, ld(2, ld(2, crowd(UNKNOWN, span('a', 1, 2)))))),
  traces('a span of groups', () => ld(1, ld(2, ld(2, crowd(GROUP, span('a', 1, 2)))))),
  traces('a span of empty attributes', () => ld(1, ld(2, ld(2, crowd(bytes('4a 00'), span('a', 1, 2)))))),
  traces('a span of tiny attributes', () => ld(1, ld(2, ld(2, crowd(bytes('4a 02 12 00'), span('a', 1, 2)))))),
  traces('a span of tiny events', () => ld(1, ld(2, ld(2, crowd(bytes('5a 02 20 00'), span('a', 1, 2)))))),
  traces('an attribute of tiny values', () =>
    ld(1, ld(2, ld(2, span('a', 1, 2), ld(9, ld(1, 'a'), ld(2, ld(5, crowd(bytes('0a 02 18 00')))))))),
  ),
  refused(
    traces('a span of too many fields', () => ld(1, ld(2, ld(2, filled(bytes('4a 02 12 00'), span('a', 1, 2)))))),
  ),
  broken(traces('spans, bad in the last byte', () => spans(n => span('GET /', n, 2, PAD)))),
  broken(traces('unknown fields, bad in the last byte', () => filled(UNKNOWN))),

  metrics('50,000 gauge points, new', turn => gauge(n => point(`${turn}-${n}`, PAD_POINT))),
  metrics('50,000 gauge points, known', () => gauge(n => point(`${n % 1000}`, PAD_POINT))),
  metrics('50,000 metrics, new', turn =>
    ld(
      1,
      ld(
        2,
        each(n => ld(2, ld(1, `m_${turn}_${n}`), ld(5, ld(1, point('a'))))),
      ),
    ),
  ),
  metrics('50,000 resources of points, new', turn =>
    each(n => ld(1, service(`s-${turn}-${n}`), ld(2, ld(2, ld(1, 'a'), ld(5, ld(1, point('a'))))))),
  ),
  metrics('histogram points of 16 buckets', () => histograms(16)),
  metrics('histogram points of 128 buckets', () => histograms(128)),
  metrics('metrics of unknown fields', () => filled(UNKNOWN)),
  metrics('ResourceMetrics of unknown fields', () =>
    ld(1, filled(UNKNOWN, ld(2, ld(2, ld(1, 'a'), ld(5, ld(1, point('a'))))))),
  ),
  metrics('a resource of tiny attributes', () =>
    ld(1, ld(1, crowd(TINY_PAIR)), ld(2, ld(2, ld(1, 'a'), ld(5, ld(1, point('a')))))),
  ),
  metrics('ScopeMetrics of unknown fields', () =>
    ld(1, ld(2, filled(UNKNOWN, ld(2, ld(1, 'a'), ld(5, ld(1, point('a'))))))),
  ),
  metrics('ScopeMetrics of tiny metrics', () => ld(1, ld(2, filled(bytes('12 02 2a 00'))))),
  metrics('a metric of unknown fields', () =>
    ld(1, ld(2, ld(2, filled(UNKNOWN, ld(1, 'a'), ld(5, ld(1, point('a'))))))),
  ),
  metrics('a metric of empty gauges', () =>
    ld(1, ld(2, ld(2, crowd(bytes('2a 00'), Buffer.concat([ld(1, 'a'), ld(5, ld(1, point('a')))]))))),
  ),
  metrics('a gauge of unknown fields', () =>
    ld(1, ld(2, ld(2, ld(1, 'a'), ld(5, filled(UNKNOWN, ld(1, point('a'))))))),
  ),
  metrics('a point of unknown fields', () => onePoint(UNKNOWN)),
  metrics('a point of tiny attributes', () => onePoint(bytes('3a 02 12 00'))),
  metrics('a point of tiny exemplars', () => onePoint(bytes('2a 02 78 00'))),
  metrics('an attribute of tiny values', () =>
    onePoint(EMPTY, ld(7, ld(1, 'a'), ld(2, ld(5, crowd(bytes('0a 02 18 00')))))),
  ),
  broken(metrics('points, bad in the last byte', () => gauge(n => point(`${n % 1000}`, PAD_POINT)))),

  logs('50,000 log records', () =>
    ld(
      1,
      ld(
        2,
        each(() => ld(2, record('order paid in time'.repeat(16)))),
      ),
    ),
  ),
  logs('50,000 resources of records, new', turn =>
    each(n => ld(1, service(`s-${turn}-${n}`), ld(2, ld(2, record('a'))))),
  ),
  logs('50,000 records with lists', () =>
    ld(
      1,
      ld(
        2,
        each(() => ld(2, bytes('10 09'), ld(5, ld(6, TWENTY_PAIRS)))),
      ),
    ),
  ),
  logs('logs of unknown fields', () => filled(UNKNOWN)),
  logs('a resource of tiny attributes', () => ld(1, ld(1, crowd(TINY_PAIR)), ld(2, ld(2, record('a'))))),
  logs('a record of unknown fields', () => ld(1, ld(2, ld(2, crowd(UNKNOWN, record('a')))))),
  logs('a record of tiny attributes', () => ld(1, ld(2, ld(2, crowd(bytes('32 02 12 00'), record('a')))))),
  logs('a body of tiny values', () => ld(1, ld(2, ld(2, ld(5, ld(5, crowd(bytes('0a 02 18 00')))))))),

  json('traces', 'ordinary spans', SPANS_JSON, SPAN_JSON),
  json('traces', 'tiny attributes', attributesJson(), '{"key":"a","value":{"intValue":1}}'),
  json('traces', 'empty objects', attributesJson(), '{}'),
  json('traces', 'escapes', attributesJson('{"key":"', '"}'), '\\u00e4', ''),
  json('traces', 'escapes, each alone', attributesJson('{"key":"', '"}'), '\\na', ''),
  json('traces', 'escaped keys', ['{', '}'], '"\\n":1'),
  json('traces', 'unknown keys', ['{', '}'], '"a":1'),
  json('traces', 'unknown arrays', ['{"a":[', ']}'], '[]'),
  json('traces', 'unknown numbers', ['{"a":[', ']}'], '1'),
  json('metrics', 'bounds', histogramJson('explicitBounds'), '1.5'),
  json('metrics', 'counts as text', histogramJson('bucketCounts'), '"1"'),
  json('metrics', 'counts as 1e0', histogramJson('bucketCounts'), '1e0'),
  json('metrics', 'points', POINTS_JSON, '{"asDouble":1.5,"attributes":[{"key":"a","value":{"stringValue":"b"}}]}'),
  json('logs', 'log records', RECORDS_JSON, '{"severityNumber":9,"body":{"stringValue":"order paid in time"}}'),
  broken(
    json(
      'logs',
      'log records, bad in the last byte',
      RECORDS_JSON,
      '{"severityNumber":9,"body":{"stringValue":"paid"}}',
    ),
  ),
]

function traces(name: string, make: (turn: number) => Buffer): Input {
  return protobuf(name, 'traces', make)
}

function metrics(name: string, make: (turn: number) => Buffer): Input {
  return protobuf(name, 'metrics', make)
}

function logs(name: string, make: (turn: number) => Buffer): Input {
  return protobuf(name, 'logs', make)
}

function protobuf(name: string, signal: Signal, make: (turn: number) => Buffer): Input {
  const sized = (turn: number, size: number) => {
    room = size
    return make(turn)
  }
  return { name, signal, encoding: 'protobuf', code: 200, make: sized }
}

/** As many members as fit, up to the limit of items or fields, between an opening and a closing text. */
function json(
  signal: Signal,
  name: string,
  [open, close]: readonly [string, string],
  member: string,
  comma = ',',
): Input {
  const make = (_turn: number, size: number) => {
    const most = Math.floor((size - open.length - close.length) / (member.length + comma.length))
    const allowed = /spans|points|records/.test(name) ? ITEMS : /unknown|escape/.test(name) ? most : FIELDS - 100
    const count = Math.min(most, allowed)
    return Buffer.from(open + (member + comma).repeat(count - 1) + member + close)
  }
  return { name: `JSON: ${name}`, signal, encoding: 'json', code: 200, make }
}

function refused(input: Input): Input {
  return { ...input, code: 413 }
}

function broken(input: Input): Input {
  const make = (turn: number, size: number) => {
    const good = input.make(turn, size)
    // A field without its length; or a bracket where a brace must be.
    return Buffer.concat(input.encoding === 'json' ? [good.subarray(0, -1), bytes('5d')] : [good, bytes('0a')])
  }
  return { ...input, code: 400, make }
}

/** The bytes before and after the attributes of a span, or after a part of one attribute. */
function attributesJson(open = '', close = ''): readonly [string, string] {
  const ids = `"traceId":"${'ab'.repeat(16)}","spanId":"${'cd'.repeat(8)}"`
  return [`${SPANS_JSON[0]}{${ids},"attributes":[${open}`, `${close}]}${SPANS_JSON[1]}`]
}

function histogramJson(field: string): readonly [string, string] {
  return [`${POINTS_JSON[0].replace('gauge', 'histogram')}{"${field}":[`, `]}${POINTS_JSON[1]}`]
}

/** A field repeated until the request is full, after a prefix. */
function filled(field: Buffer, before: Buffer = EMPTY, after: Buffer = EMPTY): Buffer {
  // With some room for the messages around it.
  const left = room - before.length - after.length - 128
  return Buffer.concat([before, Buffer.alloc(left - (left % field.length), field), after])
}

/** A field repeated up to the limit of fields for one item or resource; of a message of 4 bytes, half the fields are inside. */
function crowd(field: Buffer, before: Buffer = EMPTY): Buffer {
  const left = Math.floor((room - before.length - 128) / field.length)
  const count = Math.min(left, (FIELDS - 100) / (field.length === 4 ? 2 : 1))
  return Buffer.concat([before, Buffer.alloc(count * field.length, field)])
}

/** As many as are allowed or as fit. */
function each(make: (n: number) => Buffer): Buffer {
  const all: Buffer[] = []
  for (let left = room - 128, n = 0; n < ITEMS; n++) {
    const next = make(n)
    left -= next.length
    if (left < 0) break
    all.push(next)
  }
  return Buffer.concat(all)
}

function spans(make: (n: number) => Buffer): Buffer {
  return ld(
    1,
    service('shop'),
    ld(
      2,
      each(n => ld(2, make(n))),
    ),
  )
}

function span(name: string, id: number, kind: number, ...more: readonly Buffer[]): Buffer {
  const ids = Buffer.alloc(28, 0xab)
  ids.set(bytes('0a 10'), 0)
  ids.set(bytes('12 08'), 18)
  ids.writeUInt32LE(id, 20)
  const times = bytes('39 00 00 fb 5e 51 9c 97 17 41 80 b2 e1 6d 51 9c 97 17')
  return Buffer.concat([ids, ld(5, name), Buffer.from([0x30, kind]), times, ...more])
}

function gauge(make: (n: number) => Buffer): Buffer {
  return ld(
    1,
    service('shop'),
    ld(
      2,
      ld(
        2,
        ld(1, 'a_gauge'),
        ld(
          5,
          each(n => ld(1, make(n))),
        ),
      ),
    ),
  )
}

function point(value: string, ...more: readonly Buffer[]): Buffer {
  return Buffer.concat([bytes('21 00 00 00 00 00 00 f0 3f'), attribute(7, 'a', value), ...more])
}

function onePoint(field: Buffer, more?: Buffer): Buffer {
  return ld(
    1,
    ld(2, ld(2, ld(1, 'a'), ld(5, ld(1, more ? Buffer.concat([point('a'), more]) : crowd(field, point('a')))))),
  )
}

/** Cumulative, as many as fit, each with its own label set. */
function histograms(buckets: number): Buffer {
  const counts = ld(6, Buffer.alloc(8 * (buckets + 1), bytes('01 00 00 00 00 00 00 00')))
  const bounds = Buffer.alloc(8 * buckets)
  for (let i = 0; i < buckets; i++) bounds.writeDoubleLE(i, 8 * i)
  const one = Buffer.concat([counts, ld(7, bounds)])
  const count = Math.min(ITEMS, Math.floor((room - 128) / (one.length + 24)))
  const points = Array.from({ length: count }, (_, n) => ld(1, one, attribute(9, 'a', `${n % 1000}`)))
  return ld(1, service('shop'), ld(2, ld(2, ld(1, 'a_histogram'), ld(9, ...points, bytes('10 02')))))
}

function record(body: string): Buffer {
  return Buffer.concat([bytes('10 09'), ld(5, ld(1, body))])
}

function service(name: string): Buffer {
  return ld(1, attribute(1, 'service.name', name))
}

function attribute(field: number, key: string, value: string): Buffer {
  return ld(field, ld(1, key), ld(2, ld(1, value)))
}

function ld(number: number, ...parts: readonly (Buffer | string)[]): Buffer {
  const body = Buffer.concat(parts.map(part => (typeof part === 'string' ? Buffer.from(part) : part)))
  const head = [number * 8 + 2]
  let rest = body.length
  for (; rest >= 128; rest >>>= 7) head.push((rest & 127) | 128)
  return Buffer.concat([Buffer.from([...head, rest]), body])
}

function bytes(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(' ', ''), 'hex')
}
