// The meaning of queries: one small set of traces, and the spans that each query finds in it.

import t, { type Test } from 'tap'
import { metrics } from '../../../traceql/metrics.ts'
import { prepare } from '../../../traceql/prepare.ts'
import { QueryStopped } from '../../../traceql/reading.ts'
import { Refusal } from '../../../traceql/refusal.ts'
import type { SearchLimits, SearchResult } from '../../../traceql/results.ts'
import { search, spanFilter } from '../../../traceql/search.ts'
import { valueText } from '../../../traceql/text.ts'
import { attributes } from '../../points/otlp.ts'
import { EPOCH, from, hex, nanos, Room, type Sent } from '../room.ts'
import { Steps } from './paces.ts'

const LIMITS: SearchLimits = { from: undefined, to: undefined, limit: 20, spss: 100 }
const [INTERNAL, SERVER, CLIENT] = [1, 2, 3]
const [OK, ERROR] = [1, 2]

/** Trace a1: a request of two services. Its tree: cart(1) → pay(2) → bank(3), charge(5); cart → mail(4). Trace b2: an orphan. */
const room = new Room(2 ** 22)
room.send(
  from(
    'shop',
    {
      trace: 'a1',
      span: '1',
      name: 'GET /cart',
      kind: SERVER,
      status: ERROR,
      message: 'no money',
      seconds: 2,
      attributes: {
        'http.route': '/cart',
        code: 500,
        text: '500',
        ratio: 0.5,
        yes: true,
        no: false,
        tags: ['x', 'y'],
        sizes: [1, 20],
        big: 9007199254740993n,
      },
      events: [
        { name: 'exception', timeUnixNano: nanos(EPOCH + 0.5), attributes: attributes({ type: 'E', n: 1 }) },
        { name: 'retry', timeUnixNano: nanos(EPOCH + 1), attributes: attributes({ n: 2 }) },
      ],
      links: [{ traceId: hex('c3', 16), spanId: hex('9', 8), attributes: attributes({ why: 'batch' }) }],
    },
    {
      trace: 'a1',
      span: '2',
      parent: '1',
      name: 'pay',
      kind: CLIENT,
      start: EPOCH + 0.1,
      seconds: 0.5,
      attributes: { code: 200, n: 1 },
    },
    {
      trace: 'a1',
      span: '4',
      parent: '1',
      name: 'mail',
      kind: INTERNAL,
      start: EPOCH + 0.2,
      seconds: 0.001,
      attributes: { n: 2, zero: 0 },
    },
  ),
  from(
    'bank',
    {
      trace: 'a1',
      span: '3',
      parent: '2',
      name: 'bank',
      kind: SERVER,
      start: EPOCH + 0.15,
      seconds: 0.4,
      status: OK,
      attributes: { code: 'none', n: 3 },
    },
    {
      trace: 'a1',
      span: '5',
      parent: '2',
      name: 'charge',
      kind: INTERNAL,
      start: EPOCH + 0.3,
      seconds: 0.1,
      attributes: { 'service.name': 'own' },
    },
  ),
)
room.send(
  from('lost', { trace: 'b2', span: '7', parent: '6', name: 'orphan', kind: INTERNAL, start: EPOCH + 10, seconds: 1 }),
)

async function run(query: string, limits: Partial<SearchLimits> = {}, of = room): Promise<SearchResult> {
  return await search(await prepare(query), of.kept, new Steps(), { ...LIMITS, ...limits })
}

/** The names of the spans found, trace by trace, spanset by spanset. */
async function names(query: string, limits: Partial<SearchLimits> = {}): Promise<string> {
  const { traces } = await run(query, limits)
  return traces
    .map(({ spansets }) => spansets.map(({ spans }) => spans.map(each => each.name).join(' ')).join(' | '))
    .join(' ; ')
}

const ALL = 'orphan ; GET /cart pay bank mail charge'

async function finds(t: Test, cases: Readonly<Record<string, string>>): Promise<void> {
  for (const [query, expected] of Object.entries(cases)) t.equal(await names(query), expected, query)
}

t.test('a filter finds span by span, and a trace counts if any span is left', async t => {
  await finds(t, {
    '{}': ALL,
    '{ false }': '',
    '{ kind = server }': 'GET /cart bank',
    '{ kind != server }': 'orphan ; pay mail charge',
    '{ status = error }': 'GET /cart',
    '{ status = ok || status = error }': 'GET /cart bank',
    '{ status = unset }': 'orphan ; pay mail charge',
    '{ duration > 450ms }': 'orphan ; GET /cart pay',
    '{ duration < 2ms }': 'mail',
    '{ duration > 5 && name = "mail" }': 'mail',
    '{ name = "pay" }': 'pay',
    '{ name != "pay" }': 'orphan ; GET /cart bank mail charge',
    '{ name > "mail" }': 'orphan ; pay',
    '{ resource.service.name = "bank" }': 'bank charge',
    '{ statusMessage = "no money" }': 'GET /cart',
    '{ statusMessage = "" && kind = server }': 'bank',
    '{ instrumentation:name = "scope" && name = "pay" }': 'pay',
    '{ instrumentation:version = "1" && name = "pay" }': 'pay',
    '{ rootName = "GET /cart" }': 'GET /cart pay bank mail charge',
    '{ rootServiceName = "shop" && name = "pay" }': 'pay',
    '{ traceDuration > 1500ms }': 'GET /cart pay bank mail charge',
  })
})

t.test('&& and || bind equally', async t => {
  await finds(t, {
    // Read as (mail or bank) and server.
    '{ name = "mail" || name = "bank" && kind = server }': 'bank',
    '{ kind = server && name = "bank" || name = "mail" }': 'bank mail',
  })
})

t.test('a missing attribute makes every comparison false, also != and !~', async t => {
  await finds(t, {
    '{ span.http.route != "/other" }': 'GET /cart',
    '{ span.http.route !~ "x.*" }': 'GET /cart',
    '{ span.missing != 1 }': '',
    '{ span.http.route = nil }': 'orphan ; pay bank mail charge',
    '{ span.http.route != nil }': 'GET /cart',
    '{ nil = .n && kind = internal }': 'orphan ; charge',
    '{ !(span.http.route = "/other") && kind = server }': 'GET /cart bank',
  })
})

t.test('a bare attribute is true only for true, and ! of what is missing matches nothing', async t => {
  await finds(t, {
    '{ span.yes }': 'GET /cart',
    '{ span.no }': '',
    '{ !span.no }': 'GET /cart',
    '{ !span.yes }': '',
    '{ !span.missing }': '',
    '{ span.code }': '',
    '{ span.missing || name = "pay" }': 'pay',
    '{ span.yes = true }': 'GET /cart',
    '{ span.yes != true }': '',
    '{ span.no = false }': 'GET /cart',
  })
})

t.test('a regular expression matches whole values, and a dot matches line breaks', async t => {
  await finds(t, {
    '{ name =~ "GET" }': '',
    '{ name =~ "GET.*" }': 'GET /cart',
    '{ name =~ "(?i)get.*" }': 'GET /cart',
    '{ name =~ "pay|mail" }': 'pay mail',
    '{ name =~ ".*a.*" }': 'orphan ; GET /cart pay bank mail charge',
    '{ name =~ ".*[ky]" }': 'pay bank',
    '{ name !~ "GET.*" && kind = server }': 'bank',
    '{ span.text =~ "5.0" }': 'GET /cart',
    '{ resource.service.name =~ "b.+" }': 'bank charge',
    '{ rootName =~ "GET.+" && name = "pay" }': 'pay',
    '{ span:id =~ "0+5" }': 'charge',
  })
  const lines = new Room(2 ** 20)
  lines.send(from('a', { trace: '1', span: '1', attributes: { text: 'one\ntwo' } }))
  t.equal((await run('{ .text =~ "one.two" }', {}, lines)).traces.length, 1)
})

t.test('strings and numbers never match each other, and numbers compare by value', async t => {
  await finds(t, {
    '{ span.code = 500 }': 'GET /cart',
    '{ span.code = "500" }': '',
    '{ span.text = 500 }': '',
    '{ span.text = "500" }': 'GET /cart',
    '{ span.text < "501" }': 'GET /cart',
    '{ span.code != 200 }': 'GET /cart',
    '{ span.code != "x" }': 'bank',
    '{ span.code > 200.5 }': 'GET /cart',
    '{ span.ratio > 0 }': 'GET /cart',
    '{ span.ratio = 0.5 }': 'GET /cart',
    '{ 300 < span.code }': 'GET /cart',
    '{ span.big = 9007199254740993 }': 'GET /cart',
    '{ span.big = 9007199254740992 }': '',
    '{ span.big > 9007199254740992 }': 'GET /cart',
    '{ span.code > span.n }': 'pay',
    '{ span.ratio < span.code }': 'GET /cart',
  })
})

t.test('arithmetic: whole numbers are divided without rest, and by zero there is no result', async t => {
  await finds(t, {
    '{ span.code / 200 = 2 }': 'GET /cart',
    '{ span.code / 200.0 = 2.5 }': 'GET /cart',
    '{ span.code % 300 = 200 }': 'GET /cart pay',
    '{ span.n / span.zero = 1 }': '',
    '{ span.n / span.zero != 1 }': '',
    '{ -span.n * 2 = -4 }': 'mail',
    '{ span.n ^ 2 = 9 }': 'bank',
    '{ duration + 1s > 2s }': 'GET /cart',
    '{ span.n + span.missing > 0 }': '',
    '{ -span.text = 1 }': '',
  })
})

t.test('an array fits if any element does, with != and !~ if all do', async t => {
  await finds(t, {
    '{ span.tags = "x" }': 'GET /cart',
    '{ span.tags = "z" }': '',
    '{ span.tags != "x" }': '',
    '{ span.tags != "z" }': 'GET /cart',
    '{ span.tags =~ "[yz]" }': 'GET /cart',
    '{ span.tags !~ "[yz]" }': '',
    '{ span.tags !~ "z.?" }': 'GET /cart',
    '{ span.sizes > 10 }': 'GET /cart',
    '{ 10 < span.sizes }': 'GET /cart',
    '{ span.sizes > 20 }': '',
    '{ span.tags != nil }': 'GET /cart',
    '{ span.sizes + 1 = 2 }': '',
    '{ span.code > span.sizes && name = "GET /cart" }': 'GET /cart',
  })
})

t.test(
  'an attribute without a scope is looked for in the span, the resource, events, links and the instrumentation',
  async t => {
    await finds(t, {
      '{ .code = 200 }': 'pay',
      '{ .service.name = "own" }': 'charge',
      '{ .service.name = "bank" }': 'bank',
      '{ .type = "E" }': 'GET /cart',
      '{ .why = "batch" }': 'GET /cart',
      '{ .n = 3 }': 'bank',
      '{ .missing = nil && name = "pay" }': 'pay',
    })
  },
)

t.test('any event or link of the span may fit', async t => {
  await finds(t, {
    '{ event.type = "E" }': 'GET /cart',
    '{ event.n = 2 }': 'GET /cart',
    '{ event.n = 1 && event.n = 2 }': 'GET /cart',
    '{ event.n > 2 }': '',
    '{ event.n != nil }': 'GET /cart',
    '{ event.n = nil && kind = server }': 'bank',
    '{ event:name = "retry" }': 'GET /cart',
    '{ event:name =~ "exc.*" }': 'GET /cart',
    '{ event:timeSinceStart > 900ms }': 'GET /cart',
    '{ event:timeSinceStart > 1s }': '',
    '{ event.n = span.code / 500 }': 'GET /cart',
    '{ link.why = "batch" }': 'GET /cart',
    '{ link:traceID = "c3" }': 'GET /cart',
    '{ link:traceID = "000000000000000000000000000000c3" }': 'GET /cart',
    '{ link:spanID = "9" }': 'GET /cart',
    '{ link:spanID != "9" }': '',
  })
})

t.test('ids compare with zeros in front', async t => {
  await finds(t, {
    '{ trace:id = "b2" }': 'orphan',
    '{ trace:id = "000000000000000000000000000000B2" }': 'orphan',
    '{ trace:id != "a1" }': 'orphan',
    '{ span:id = "0000000000000005" }': 'charge',
    '{ span:id = "5" }': 'charge',
    '{ span:parentID = "2" }': 'bank charge',
    '{ span:id = "no id" }': '',
    '{ span:id = "10000000000000005" }': '',
  })
})

t.test('nested sets number the tree depth first from 1; what no root leads to has zeros', async t => {
  await finds(t, {
    '{ nestedSetParent < 0 }': 'GET /cart',
    '{ nestedSetParent = -1 }': 'GET /cart',
    '{ nestedSetLeft = 1 }': 'GET /cart',
    '{ nestedSetParent = 1 }': 'pay mail',
    '{ nestedSetParent = 0 }': 'orphan',
    '{ nestedSetLeft = 0 }': 'orphan',
    '{ nestedSetRight = 10 }': 'GET /cart',
    '{ span:childCount = 2 }': 'GET /cart pay',
    '{ nestedSetParent < 0 && kind = server }': 'GET /cart',
  })
})

t.test('structural operators give the right side, with a union both sides', async t => {
  await finds(t, {
    '{ name = "pay" } > {}': 'bank charge',
    '{ kind = server } > {}': 'pay mail',
    '{ name = "GET /cart" } >> {}': 'pay bank mail charge',
    '{ kind = server } >> { kind = internal }': 'mail charge',
    '{ name = "bank" } < {}': 'pay',
    '{ name = "bank" } << {}': 'GET /cart pay',
    '{ name = "pay" } ~ {}': 'mail',
    '{} ~ {}': 'pay bank mail charge',
    '{ name = "pay" } !> {}': 'orphan ; GET /cart pay mail',
    '{ kind = server } !>> {}': 'orphan ; GET /cart',
    '{ name = "bank" } !< {}': 'orphan ; GET /cart bank mail charge',
    '{ name = "bank" } !<< {}': 'orphan ; bank mail charge',
    '{ name = "pay" } !~ {}': 'orphan ; GET /cart pay bank charge',
    '{ name = "pay" } &> { kind = internal }': 'pay charge',
    '{ nestedSetParent < 0 } &>> { kind = internal }': 'GET /cart mail charge',
    '{ name = "bank" } &< {}': 'pay bank',
    '{ name = "charge" } &<< { kind = server }': 'GET /cart charge',
    '{ name = "pay" } &~ {}': 'pay mail',
    '{ name = "none" } !> { name = "pay" }': 'pay',
    '{ name = "none" } > {}': '',
    '({ nestedSetParent < 0 } &>> { kind = client }) || ({ nestedSetParent < 0 })': 'GET /cart pay',
    '{ name = "GET /cart" } > { name = "pay" } > { name = "bank" }': 'bank',
  })
})

t.test('a span that no root leads to is related to none, so only negated operators find it', async t => {
  for (const operator of ['>', '<', '>>', '<<', '~', '&>', '&<', '&>>', '&<<', '&~'])
    t.notMatch(await names(`{} ${operator} {}`), 'orphan', operator)
  for (const operator of ['!>', '!<', '!>>', '!<<', '!~']) t.match(await names(`{} ${operator} {}`), 'orphan', operator)
})

t.test('&& and || between sets of spans are per trace', async t => {
  await finds(t, {
    '{ kind = client } && { status = error }': 'GET /cart pay',
    '{ kind = client } && { name = "orphan" }': '',
    '{ kind = client } || { name = "orphan" }': 'orphan ; pay',
    '({ kind = client } | count() = 1) && ({ kind = server } | count() > 1)': 'GET /cart pay bank',
    '({ kind = client } | count() > 1) || ({ kind = server } | count() > 1)': 'GET /cart bank',
  })
})

t.test('by makes groups, and coalesce joins them', async t => {
  await finds(t, {
    '{} | by(resource.service.name)': 'orphan ; GET /cart pay mail | bank charge',
    '{ trace:id = "a1" } | by(kind) | count() > 1': 'GET /cart bank | mail charge',
    '{ trace:id = "a1" } | by(kind) | count() > 1 | coalesce()': 'GET /cart bank mail charge',
    'by(kind) | { trace:id = "a1" && kind = client }': 'pay',
    '{ trace:id = "a1" } | by(span.n > 1)': 'GET /cart pay charge | bank mail',
  })
  const { traces } = await run('{ kind = server } | by(resource.service.name) | count() > 0')
  t.same(
    traces[0]?.spansets.map(({ attributes }) =>
      attributes.map(([key, value]) => `${key}=${valueText(value as never)}`),
    ),
    [
      ['by(resource.service.name)=shop', 'count()=1'],
      ['by(resource.service.name)=bank', 'count()=1'],
    ],
  )
})

t.test('structural operators cannot follow by, since there are several sets of spans', async t => {
  const refusal = await run('({} | by(kind)) >> ({} | { true })').catch(error => error)
  t.type(refusal, Refusal)
  t.match(refusal.message, 'line 1, col 17: >> cannot follow by()')
  t.equal(await names('({} | by(kind) | coalesce()) > ({ kind = client } | { true })'), 'pay')
})

t.test('aggregates skip what is missing, and a set of spans without a value is dropped', async t => {
  await finds(t, {
    '{} | count() = 5': 'GET /cart pay bank mail charge',
    '{} | max(span.code) >= 500': 'GET /cart pay bank mail charge',
    '{} | min(span.code) = 200': 'GET /cart pay bank mail charge',
    '{} | avg(span.code) = 350': 'GET /cart pay bank mail charge',
    '{} | sum(span.code) = 700': 'GET /cart pay bank mail charge',
    '{} | max(span.missing) >= 0': '',
    '{} | avg(duration) > 900ms': 'orphan',
    '{} | sum(duration) = 1s': 'orphan',
    '{} | max(duration + 1) > 1s': 'orphan ; GET /cart pay bank mail charge',
    'count() > 1 | { kind = client }': 'pay',
  })
  const { traces } = await run('{ trace:id = "a1" } | avg(duration) > 0')
  const [key, value] = traces[0]!.spansets[0]!.attributes[0]!
  t.match([key, valueText(value as never)], ['avg(duration)', /^600\.[12]\d*ms$/])
})

t.test(
  'the attributes of a span are those that the query mentions or selects, without those that have a place',
  async t => {
    const { traces } = await run(
      '{ span.code = 500 && duration > 1s } | select(status, kind, .http.route, event.type, .none, name)',
    )
    t.same(traces[0]!.spansets[0]!.spans[0]!.attributes, [
      ['code', { type: 'int', value: 500 }],
      ['status', { type: 'status', value: 'error' }],
      ['kind', { type: 'kind', value: 'server' }],
      ['http.route', { type: 'string', value: '/cart' }],
      ['type', { type: 'string', value: 'E' }],
    ])
  },
)

t.test('an answer tells of the trace as a whole', async t => {
  const { traces } = await run('{ kind = client }', { spss: 1 })
  const [trace] = traces
  t.match(trace, {
    id: 'a1'.padStart(32, '0'),
    rootService: 'shop',
    rootName: 'GET /cart',
    startNanos: BigInt(EPOCH) * 1_000_000_000n,
    durationNanos: 2_000_000_000,
  })
  t.same(
    [...trace!.services],
    [
      ['shop', { spans: 3, errors: 1 }],
      ['bank', { spans: 2, errors: 0 }],
    ],
  )
  const [span] = trace!.spansets[0]!.spans
  t.match(span, { id: '0000000000000002', name: 'pay', durationNanos: 500_000_000 })
  const { traces: orphans } = await run('{ name = "orphan" }')
  t.same([orphans[0]!.rootName, orphans[0]!.rootService], [undefined, undefined])
})

t.test('spss cuts the spans of a set, and matched keeps their number', async t => {
  const { traces } = await run('{ trace:id = "a1" }', { spss: 2 })
  t.same([traces[0]!.spansets[0]!.matched, traces[0]!.spansets[0]!.spans.length], [5, 2])
})

t.test('a trace counts if it overlaps the time range, both ends included', async t => {
  t.equal(await names('{ name = "mail" }', { from: EPOCH + 2, to: EPOCH + 3 }), 'mail')
  t.equal(await names('{ name = "mail" }', { from: EPOCH - 5, to: EPOCH }), 'mail')
  t.equal(await names('{ name = "mail" }', { from: EPOCH + 3, to: EPOCH + 4 }), '')
  t.equal(await names('{ name = "mail" }', { from: EPOCH - 5, to: EPOCH - 1 }), '')
  t.equal(await names('{}', { from: EPOCH + 5 }), 'orphan')
})

t.test('the newest traces are found, whatever order they came in', async t => {
  const many = new Room(2 ** 22)
  const order = Array.from({ length: 200 }, (_, i) => (i * 77) % 200)
  for (const i of order) many.send(from('a', ...spans(i)))
  const found = (await run('{ name = "last" }', { limit: 5 }, many)).traces.map(
    ({ id }) => Number.parseInt(id, 16) - 1000,
  )
  t.same(found, [199, 198, 197, 196, 195])

  function spans(i: number): Sent[] {
    const trace = (1000 + i).toString(16)
    return [
      { trace, span: '1', name: 'first', start: EPOCH + i },
      { trace, span: '2', parent: '1', name: 'last', start: EPOCH + i + 0.5 },
    ]
  }
})

t.test('a span that was sent twice counts once', async t => {
  const twice = new Room(2 ** 20)
  const sent = from('a', { trace: '1', span: '1', name: 'one' })
  twice.send(sent)
  twice.send(sent)
  t.equal((await run('{}', {}, twice)).traces[0]!.spansets[0]!.matched, 1)
})

t.test('a search yields its turn, is stopped by its deadline, and survives that spans go meanwhile', async t => {
  const small = new Room(2 ** 20)
  const fill = (n: number): void => {
    for (let i = 0; i < n; i++)
      small.send(
        from('a', { trace: (++trace).toString(16), span: '1', start: EPOCH + trace, attributes: { n: trace } }),
      )
  }
  let trace = 0
  fill(5000)
  const pace = new Steps(2, Number.POSITIVE_INFINITY, () => fill(20))
  const result = await search(await prepare('{ .n > 0 }'), small.kept, pace, LIMITS)
  t.ok(pace.turns > 5, `${pace.turns} turns`)
  t.equal(result.traces.length, 20)
  const stopped = await search(await prepare('{ .n < 0 }'), small.kept, new Steps(2, 3), LIMITS).catch(error => error)
  t.type(stopped, QueryStopped)
})

t.test('a large trace is read in turns', async t => {
  const large = new Room(2 ** 23)
  const spans = Array.from({ length: 6000 }, (_, i) => ({ trace: 'a1', span: (i + 1).toString(16), start: EPOCH }))
  large.send(from('a', ...spans))
  const pace = new Steps(500)
  const query = await prepare('{ kind = server } | count() = 6000')
  const limits = { from: undefined, to: undefined, limit: 20, spss: 3 }
  const { traces } = await search(query, large.kept, pace, limits)
  t.equal(traces[0]?.spansets[0]?.matched, 6000)
  // Each span is looked at when it is read, and when its parent is found.
  t.ok(pace.turns >= (2 * 6000) / 500, `${pace.turns} turns`)
})

t.test('a trace on which the query takes too long is left out, and the answer says so', async t => {
  const large = new Room(2 ** 22)
  const spans = Array.from({ length: 3000 }, (_, i) => ({
    trace: 'a1',
    span: (i + 1).toString(16),
    start: EPOCH + i / 1000,
  }))
  large.send(from('a', ...spans), from('b', { trace: 'b2', span: '1', start: EPOCH + 1 }))
  const { now } = performance
  // Every look at the clock is 50 ms after the one before.
  let time = 0
  performance.now = () => (time += 50)
  try {
    const { traces, partial } = await run('{ duration > 0 } && { kind = server }', {}, large)
    t.same(
      traces.map(({ id }) => id),
      ['b2'.padStart(32, '0')],
    )
    t.match(partial, /^trace 0+a1 has 3000 spans, too many for this query$/)
    const counted = await metrics(await prepare('{} && {} | rate()'), large.kept, new Steps(), {
      from: BigInt(EPOCH - 10) * 1_000_000_000n,
      to: BigInt(EPOCH + 10) * 1_000_000_000n,
      step: 1_000_000_000n,
      exemplars: 0,
    })
    t.match(counted.partial ?? '', 'a trace with 3000 spans was left out')
  } finally {
    performance.now = now
  }
})

t.test('an empty store has no traces', async t => {
  t.same((await run('{}', {}, new Room(2 ** 20))).traces, [])
})

t.test('a filter for the values of tags takes what the span alone tells', async t => {
  const count = async (query: string): Promise<number> => {
    const filter = spanFilter(await prepare(query))
    let found = 0
    for (const segment of room.kept.segments)
      for (let n = segment.oldest; n < segment.next; n++) if (filter(segment.cursor().at(n))) found++
    return found
  }
  t.equal(await count('{ status = error }'), 1)
  t.equal(await count('{ status = error && rootName = "x" }'), 1)
  t.equal(await count('{}'), 6)
})
