// A client in Go that asks as Grafana's data source does, and reads the answers as strictly, and as carelessly, as it does.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { EPOCH, from, hex } from './room.ts'
import { type Served, serve } from './served.ts'
import { absent, GRAFANA } from './traceql/judges.ts'

interface Task {
  readonly Kind: 'echo' | 'trace' | 'search' | 'tags' | 'values' | 'range' | 'instant'
  readonly ID?: string
  readonly Query?: string
  readonly Tag?: string
}

interface Result {
  readonly Error?: string
  readonly Rows?: readonly string[]
}

async function asked(room: Served, tasks: readonly Task[]): Promise<Result[]> {
  const client = spawn(GRAFANA, [`http://127.0.0.1:${room.port}/tempo`], { stdio: ['pipe', 'pipe', 'inherit'] })
  let out = ''
  client.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
  })
  const ended = once(client, 'close')
  const range = { Start: EPOCH - 60, End: EPOCH + 60 }
  client.stdin.end(tasks.map(task => `${JSON.stringify({ ...range, ...task })}\n`).join(''))
  const [code] = await ended
  if (code !== 0) throw new Error(`the client ended with ${code}`)
  return out
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
}

async function shop(t: Test): Promise<Served> {
  const room = await serve(t)
  room.send(
    from('shop', {
      trace: 'a1',
      span: '1',
      name: 'GET /cart',
      seconds: 0.25,
      attributes: { 'http.route': '/cart', 'a/b': 1 },
    }),
    from('pay', { trace: 'a1', span: '2', parent: '1', name: 'charge', kind: 3, status: 2, seconds: 0.1 }),
    // OTLP may leave these out: resource, scope, status; and a span that ends before it starts.
    {
      scopeSpans: [
        {
          spans: [
            {
              traceId: hex('a1', 16),
              spanId: hex('3', 8),
              name: 'bare',
              startTimeUnixNano: `${EPOCH}000000009`,
              endTimeUnixNano: `${EPOCH}000000005`,
            },
          ],
        },
      ],
    },
  )
  return room
}

t.test('Grafana reads every trace, whatever its messages lack', { skip: absent.grafana }, async t => {
  const room = await shop(t)
  const [echo, trace, short, missing, wrong] = await asked(room, [
    { Kind: 'echo' },
    { Kind: 'trace', ID: '000000000000000000000000000000a1' },
    { Kind: 'trace', ID: 'A1' },
    { Kind: 'trace', ID: 'b2' },
    { Kind: 'trace', ID: 'nothex' },
  ])
  t.same(echo, {})
  const id = '000000000000000000000000000000a1'
  t.same(trace?.Rows, [
    `shop ${id} 0000000000000001< GET /cart SPAN_KIND_SERVER STATUS_CODE_UNSET 250000000 "scope"`,
    `pay ${id} 0000000000000002<0000000000000001 charge SPAN_KIND_CLIENT STATUS_CODE_ERROR 100000000 "scope"`,
    `unknown_service ${id} 0000000000000003< bare SPAN_KIND_UNSPECIFIED STATUS_CODE_UNSET 0 ""`,
  ])
  t.same(short, trace)
  t.match(missing?.Error, /^Status: 404 Not Found Body: trace b2 is not in the memory of this sidecar, which holds/)
  t.match(wrong?.Error, /^Status: 400 Bad Request Body: "nothex" is no trace id/)
})

t.test('Grafana reads searches, tags and values strictly', { skip: absent.grafana }, async t => {
  const room = await shop(t)
  const [found, grouped, empty, wrong, tags, services, names, slash, narrowed, none] = await asked(room, [
    { Kind: 'search', Query: '{span.http.route="/cart"}' },
    { Kind: 'search', Query: '{status=error} | by(resource.service.name) | count() > 0 | select(kind)' },
    { Kind: 'search', Query: '{name="nowhere"}' },
    { Kind: 'search', Query: '{ name = }' },
    { Kind: 'tags' },
    { Kind: 'values', Tag: 'resource.service.name' },
    { Kind: 'values', Tag: 'name' },
    { Kind: 'values', Tag: 'span.a/b' },
    { Kind: 'values', Tag: 'name', Query: '{ status = error }' },
    { Kind: 'values', Tag: 'span.undefined' },
  ])
  const id = '000000000000000000000000000000a1'
  t.same(found, { Rows: [`${id} shop 0000000000000001 GET /cart 250000000 1 1`] })
  t.same(grouped, { Rows: [`${id} shop 0000000000000002 charge 100000000 3 1`] })
  t.same(empty, {})
  t.match(wrong?.Error, /^Status: 400 Bad Request Body: invalid TraceQL query: .*line 1, col \d+/)
  t.ok(tags?.Rows?.includes('span http.route') && tags.Rows.includes('intrinsic rootServiceName'))
  t.same(services, { Rows: ['string pay', 'string shop'] })
  t.same(names, { Rows: ['string GET /cart', 'string bare', 'string charge'] })
  t.same(slash, { Rows: ['int 1'] })
  t.same(narrowed, { Rows: ['string charge'] })
  t.same(none, {})
})

t.test('Grafana reads metrics of spans, with exemplars that it shows', { skip: absent.grafana }, async t => {
  const room = await shop(t)
  const [rate, instant, wrong] = await asked(room, [
    { Kind: 'range', Query: '{status=error} | count_over_time() by(resource.service.name)' },
    { Kind: 'instant', Query: '{} | count_over_time() by(resource.service.name)' },
    { Kind: 'range', Query: '{}' },
  ])
  t.same(rate, { Rows: ['resource.service.name=&{pay} 1.000 true'] })
  t.same([...(instant?.Rows ?? [])].sort(), [
    'resource.service.name=pay 1.000',
    'resource.service.name=shop 1.000',
    'resource.service.name=unknown_service 1.000',
  ])
  t.match(wrong?.Error, /^Status: 400 Bad Request Body: not a metrics query/)
})
