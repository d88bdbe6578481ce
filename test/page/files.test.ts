// Files with traces that a person drops onto the page, and those that the page saves.

import t from 'tap'
import { type LocalTrace, readTraces } from '../../exporter/web/page/traces/files.ts'
import { DATA_ID, htmlFile, inert } from '../../exporter/web/page/traces/save.ts'

const ID = '5b8efff798038103d269b633813fc60c'
const SPAN = 'eee19b7ec3c1b174'
const CHILD = 'eee19b7ec3c1b175'
const base64 = (hex: string): string => Buffer.from(hex, 'hex').toString('base64')

const OTLP = {
  resourceSpans: [
    {
      resource: { attributes: [{ key: 'service.name', value: { stringValue: 'shop' } }] },
      scopeSpans: [
        {
          scope: { name: 'http', version: '1.2' },
          spans: [
            {
              traceId: ID,
              spanId: CHILD,
              parentSpanId: SPAN,
              name: 'charge',
              kind: 3,
              startTimeUnixNano: '1750000000100000500',
              endTimeUnixNano: '1750000000300000500',
              status: { code: 2, message: 'no money' },
              events: [
                {
                  timeUnixNano: '1750000000150000000',
                  name: 'exception',
                  attributes: [{ key: 'exception.type', value: { stringValue: 'Declined' } }],
                },
              ],
              links: [{ traceId: ID, spanId: SPAN }],
              attributes: [
                { key: 'amount', value: { intValue: '12' } },
                { key: 'tags', value: { arrayValue: { values: [{ stringValue: 'a' }, { boolValue: true }] } } },
                { key: 'who', value: { kvlistValue: { values: [{ key: 'id', value: { doubleValue: 0.5 } }] } } },
              ],
            },
            {
              traceId: ID,
              spanId: SPAN,
              name: 'GET /',
              kind: 2,
              startTimeUnixNano: '1750000000000000000',
              endTimeUnixNano: '1750000000500000000',
            },
          ],
        },
      ],
    },
  ],
}

function only(content: string): LocalTrace {
  const traces = readTraces(content)
  t.equal(traces.length, 1)
  return traces[0]!
}

t.test('OTLP JSON is read, with times to the nanosecond', async t => {
  const { columns, detail } = only(JSON.stringify(OTLP))
  t.match(columns, {
    traceId: ID,
    startUnixNano: '1750000000000000000',
    services: ['shop'],
    names: ['GET /', 'charge'],
    spanId: [SPAN, CHILD],
    parent: [-1, 0],
    start: [0, 100_000.5],
    duration: [500_000, 200_000],
    kind: [2, 3],
    status: [0, 2],
    events: [[1, 150_000, 'exception']],
  })
  t.same(detail(1), {
    attributes: [
      ['amount', '12'],
      ['tags', '["a",true]'],
      ['who', '{"id":0.5}'],
    ],
    resource: [['service.name', 'shop']],
    scope: 'http 1.2',
    statusMessage: 'no money',
    traceState: '',
    events: [{ time: 1750000000150000000n, name: 'exception', attributes: [['exception.type', 'Declined']] }],
    links: [{ traceId: ID, spanId: SPAN, attributes: [] }],
    leftOut: 0,
  })
})

t.test('Tempo’s JSON is read in both versions: base64 ids and names of enums', async t => {
  const text = JSON.stringify(OTLP, (key, value) => {
    if (/(?:trace|span)Id$/i.test(key)) return base64(value)
    if (key === 'kind') return value === 2 ? 'SPAN_KIND_SERVER' : 'SPAN_KIND_CLIENT'
    return key === 'code' ? 'STATUS_CODE_ERROR' : value
  })
  const expected = only(JSON.stringify(OTLP)).columns
  t.same(only(text.replace('resourceSpans', 'batches')).columns, expected)
  t.same(only(`{"trace":${text},"metrics":{}}`).columns, expected)
})

t.test('files written by the Collector are read: one request a line', async t => {
  const [resource] = OTLP.resourceSpans
  const [scope] = resource!.scopeSpans
  const lines = scope!.spans.map(span =>
    JSON.stringify({ resourceSpans: [{ ...resource, scopeSpans: [{ ...scope, spans: [span] }] }] }),
  )
  t.same(only(lines.join('\n')).columns, only(JSON.stringify(OTLP)).columns)
})

t.test('Jaeger’s JSON is read: processes, references, tags, logs', async t => {
  const jaeger = {
    data: [
      {
        traceID: ID,
        processes: { p1: { serviceName: 'shop', tags: [{ key: 'host.name', type: 'string', value: 'h' }] } },
        spans: [
          {
            traceID: ID,
            spanID: SPAN,
            operationName: 'GET /',
            references: [],
            startTime: 1750000000000000,
            duration: 500000,
            tags: [{ key: 'span.kind', type: 'string', value: 'server' }],
            logs: [],
            processID: 'p1',
          },
          {
            traceID: ID,
            spanID: CHILD,
            operationName: 'charge',
            references: [{ refType: 'CHILD_OF', traceID: ID, spanID: SPAN }],
            startTime: 1750000000100000,
            duration: 200000,
            tags: [
              { key: 'error', type: 'bool', value: true },
              { key: 'amount', type: 'int64', value: 12 },
            ],
            logs: [
              {
                timestamp: 1750000000150000,
                fields: [
                  { key: 'event', value: 'exception' },
                  { key: 'exception.type', value: 'Declined' },
                ],
              },
            ],
            processID: 'p1',
          },
        ],
      },
    ],
  }
  const { columns, detail } = only(JSON.stringify(jaeger))
  t.match(columns, {
    spanId: [SPAN, CHILD],
    parent: [-1, 0],
    start: [0, 100_000],
    kind: [2, 0],
    status: [0, 2],
    services: ['shop'],
  })
  t.same(detail(1).attributes, [
    ['error', 'true'],
    ['amount', '12'],
  ])
  t.match(detail(1).events, [{ name: 'exception', attributes: [['exception.type', 'Declined']] }])
  t.same(detail(0).resource, [
    ['service.name', 'shop'],
    ['host.name', 'h'],
  ])
})

t.test('a trace that was read is saved as OTLP JSON, and read again as the same', async t => {
  const trace = only(JSON.stringify(OTLP))
  t.same(only(trace.otlp()).columns, trace.columns)
})

t.test('several traces in a file are all read, the largest first', async t => {
  const text = JSON.stringify(OTLP)
  const other = text.replaceAll(ID, 'f'.repeat(32)).replace(CHILD, SPAN)
  const traces = readTraces(`[${text},${other}]`)
  t.same(
    traces.map(({ columns }) => columns.traceId),
    [ID, 'f'.repeat(32)],
  )
})

t.test('a text is found in the spans of a file', async t => {
  const { find } = only(JSON.stringify(OTLP))
  const f = (text: string, ...expected: number[]): void =>
    t.same([...find(text)], expected, text) as unknown as undefined
  f('declined', 0, 1)
  f('AMOUNT=12', 0, 1)
  f('get /', 1, 0)
  f('service.name=shop', 1, 1)
  f('nothing', 0, 0)
})

t.test('a file that cannot be read says why, and nothing in it breaks the reading', async t => {
  t.throws(() => readTraces('{'), /cannot read this file as JSON/)
  t.throws(() => readTraces('{"a":1}\n{"b"'), /line 2/)
  for (const none of [
    '{}',
    '[]',
    'null',
    '3',
    '"x"',
    '{"resourceSpans":3}',
    '{"data":[{"spans":"x"}]}',
    '{"resourceSpans":[{"scopeSpans":[{"spans":[]}]}]}',
  ])
    t.throws(() => readTraces(none), /cannot find a trace/, none)
  const odd = {
    traceId: 'not an id!',
    spanId: 7,
    parentSpanId: null,
    name: { a: 1 },
    kind: 'x',
    startTimeUnixNano: 'y',
    endTimeUnixNano: -1,
    status: 'z',
    attributes: { a: 1 },
    events: [null, 3],
    links: 'q',
  }
  const [trace] = readTraces(
    JSON.stringify({ resourceSpans: [{ resource: 1, scopeSpans: [{ scope: [], spans: [odd, null, 5] }] }] }),
  )
  t.match(trace!.columns, { services: ['unknown_service'], names: [''], duration: [0], kind: [0], status: [0] })
  t.same(trace!.detail(0).attributes, [])
  const deep = `${'{"arrayValue":{"values":['.repeat(5000)}{"stringValue":"x"}${']}}'.repeat(5000)}`
  const nested = JSON.stringify(OTLP).replace('{"intValue":"12"}', deep)
  t.match(only(nested).detail(1).attributes[0]![1], /…/)
  const proto = JSON.stringify(OTLP).replaceAll('"amount"', '"__proto__"')
  t.equal(only(proto).detail(1).attributes[0]![0], '__proto__')
})

t.test('a saved page holds its data as data: nothing in a trace ends the element or begins another', async t => {
  const hostile = '</script><script>alert(1)</script><!--<img src=x onerror=alert(1)>'
  const page = htmlFile({
    title: hostile,
    script: 'run("</script>")',
    style: 'a{}</style>',
    data: JSON.stringify({ name: hostile }),
    nonce: 'abcdefghijklmnop',
  })
  t.equal(page.match(/<script/g)?.length, 2)
  t.equal(page.match(/<\/script>/g)?.length, 2)
  t.equal(page.match(/<\/style>/g)?.length, 1)
  t.notMatch(page, '<img')
  const [, data] = new RegExp(`id="${DATA_ID}">(.*?)</script>`).exec(page)!
  t.same(JSON.parse(data!), { name: hostile })
  t.equal(inert('<'), '\\u003c')
  t.match(page, "default-src 'none'; script-src 'nonce-abcdefghijklmnop'")
  t.throws(() => htmlFile({ title: '', script: '', style: '', data: '', nonce: 'short' }), /nonce/)
})
