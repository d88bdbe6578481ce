// The part of Loki's API that a Grafana data source asks for.

import t from 'tap'
import { reader } from './read.ts'
import { NOW, startLogs } from './send.ts'

const TRACE = 'ab'.repeat(16)
const SPAN = '01'.repeat(8)
const CATEGORIZE = 'X-Loki-Response-Encoding-Flags: categorize-labels'

interface Streams {
  readonly status: string
  readonly data: {
    readonly resultType: string
    readonly encodingFlags?: readonly string[]
    readonly result: readonly {
      readonly stream: Record<string, string>
      readonly values: readonly (readonly [string, string, { structuredMetadata: Record<string, string> }?])[]
    }[]
  }
}

interface Matrix {
  readonly data: {
    readonly resultType: string
    readonly result: readonly { readonly metric: object; readonly values: readonly (readonly [number, string])[] }[]
  }
}

interface Values {
  readonly data: readonly string[]
}

async function started(t: Parameters<typeof reader>[0]) {
  const { running, log } = startLogs()
  log('shop', 'cart is empty', { seconds: 1 })
  log('shop', `payment failed trace=${TRACE}`, { seconds: 5, severity: 17 })
  log('shop', 'card declined', { seconds: 3, severity: 17, trace: TRACE, span: SPAN })
  log('payment', 'declined "by" bank', { seconds: 4, severity: 13, trace: TRACE, span: '02'.repeat(8) })
  const read = await reader(t, running)
  const range = `start=${NOW}000000000&end=${NOW + 60}000000000`
  const lines = async (query: string, more = '') => {
    const path = `/loki/api/v1/query_range?query=${encodeURIComponent(query)}&${range}${more}`
    const { data } = await read.json<Streams>(path)
    return data.result
      .flatMap(({ values }) => values)
      .sort(([a], [b]) => Number(BigInt(b) - BigInt(a)))
      .map(([, line]) => line)
  }
  return { ...read, log, range, lines }
}

t.test('the query by which Grafana follows a span to its logs finds them, by label or by text', async t => {
  const { lines } = await started(t)
  const traced = `{service_name="shop"} | label_format log_line_contains_trace_id=\`{{ contains "${TRACE}" __line__  }}\` | log_line_contains_trace_id="true" OR trace_id="${TRACE}"`
  t.same(await lines(traced), [`payment failed trace=${TRACE}`, 'card declined'])
  const spanned = `${traced} | label_format log_line_contains_span_id=\`{{ contains "${SPAN}" __line__  }}\` | log_line_contains_span_id="true" OR span_id="${SPAN}"`
  t.same(await lines(spanned), ['card declined'])
  t.same(await lines(`{service_name="shop"} | trace_id="${TRACE}"`), ['card declined'])
  t.same(await lines(`{service_name=~".+"} | trace_id="${TRACE}" | drop __error__`), [
    'declined "by" bank',
    'card declined',
  ])
})

t.test('selectors, line filters and label filters mean what they mean in Loki', async t => {
  const { lines } = await started(t)
  const [empty, failed, card, bank] = [
    'cart is empty',
    `payment failed trace=${TRACE}`,
    'card declined',
    'declined "by" bank',
  ]
  const f = async (query: string, ...expected: string[]) => t.same(await lines(query), expected, query)
  await f('{}', failed, bank, card, empty)
  await f('{service_name="shop", level="error"}', failed, card)
  await f('{service_name!="shop"}', bank)
  await f('{service_name=~"sho"}')
  await f('{service_name=~"sho.|nobody"}', failed, card, empty)
  await f('{service_name!~"shop|cart"}', bank)
  await f('{namespace=""}', failed, bank, card, empty)
  await f('{namespace="default"}')
  await f('{} |= "declined"', bank, card)
  await f('{} |= "Declined"')
  await f('{} |= "empty" or "bank"', bank, empty)
  await f('{} != "declined" |= "a"', failed, empty)
  await f('{} |~ "^ca(rt|rd)"', card, empty)
  await f('{} |~ `(?i)DECLINED`', bank, card)
  await f('{} !~ "a.*d"', bank, empty)
  await f('{} |= "declined \\"by\\""', bank)
  await f('{} | level="warn" or level="info"', bank, empty)
  await f('{} | (level="warn" or level="error") and trace_id!=""', bank, card)
  await f('{} | detected_level=~"err.*", severity_number="17" | trace_id=""', failed)
})

t.test('the limit takes the newest by time, or the oldest when Grafana goes forward', async t => {
  const { lines, text, range } = await started(t)
  t.same(await lines('{}', '&limit=1'), [`payment failed trace=${TRACE}`])
  t.same(await lines('{}', '&limit=1&direction=forward'), ['cart is empty'])
  t.equal((await text(`/loki/api/v1/query_range?query={}&${range}&limit=0`)).status, 400)
})

t.test('metadata of a record stands apart from the labels of its stream when Grafana asks so', async t => {
  const { json, range } = await started(t)
  const path = `/loki/api/v1/query_range?query=${encodeURIComponent(`{} | trace_id="${TRACE}" |= "card"`)}&${range}`
  const metadata = { detected_level: 'error', severity_number: '17', trace_id: TRACE, span_id: SPAN }
  const stream = { service_name: 'shop', level: 'error' }
  const time = `${NOW + 3}000000001`
  t.match(await json<Streams>(path, CATEGORIZE), {
    status: 'success',
    data: {
      resultType: 'streams',
      encodingFlags: ['categorize-labels'],
      result: [{ stream, values: [[time, 'card declined', { structuredMetadata: metadata }]] }],
    },
  })
  t.strictSame((await json<Streams>(path)).data.result, [
    { stream: { ...stream, ...metadata }, values: [[time, 'card declined']] },
  ])
})

t.test('the log volume counts each record in exactly one step', async t => {
  const { json, log, range } = await started(t)
  for (let i = 0; i < 50; i++) log('shop', 'busy', { seconds: 10 + i, severity: 17 })
  const query = 'sum by (level, detected_level) (count_over_time({service_name="shop"} | drop __error__ [5s]))'
  const path = `/loki/api/v1/query_range?query=${encodeURIComponent(query)}&${range}&step=5`
  const { data } = await json<Matrix>(path)
  t.equal(data.resultType, 'matrix')
  const sums = data.result.map(({ metric, values }) => ({
    metric,
    count: values.reduce((sum, [, value]) => sum + Number(value), 0),
  }))
  t.same(
    sums.sort((a, b) => a.count - b.count),
    [
      { metric: { level: 'info', detected_level: 'info' }, count: 1 },
      { metric: { level: 'error', detected_level: 'error' }, count: 52 },
    ],
  )
  const error = data.result.find(({ metric }) => 'level' in metric && metric.level === 'error')
  t.same(error?.values[0], [NOW + 5, '1'], 'the record at 3 s; the one a nanosecond after 5 s is in the next step')
  t.same(error?.values[1], [NOW + 10, '1'])
  t.same(error?.values[2], [NOW + 15, '5'])
  const total = await json<Matrix>(
    `/loki/api/v1/query_range?query=${encodeURIComponent('sum(rate({}[60s]))')}&${range}&step=60`,
  )
  t.same(total.data.result, [{ metric: {}, values: [[NOW + 60, String(54 / 60)]] }])
})

t.test('a data source can be saved and tested, and its labels browsed', async t => {
  const { json, range } = await started(t)
  t.match(await json(`/loki/api/v1/query?query=vector(1)%2Bvector(1)&time=${NOW}000000000`), {
    status: 'success',
    data: { resultType: 'vector', result: [{ metric: {}, value: [NOW, '2'] }] },
  })
  t.same((await json<Values>(`/loki/api/v1/labels?${range}`)).data, ['service_name', 'level'])
  t.same((await json<Values>(`/loki/api/v1/label/service_name/values?${range}`)).data, ['payment', 'shop'])
  t.same((await json<Values>(`/loki/api/v1/label/level/values?${range}`)).data, ['error', 'info', 'warn'])
  t.same((await json<Values>(`/loki/api/v1/label/namespace/values?${range}`)).data, [])
  const match = encodeURIComponent('{service_name="shop"}')
  t.match(await json(`/loki/api/v1/series?match[]=${match}&${range}`), {
    data: [
      { service_name: 'shop', level: 'error' },
      { service_name: 'shop', level: 'info' },
    ],
  })
  t.same(await json(`/loki/api/v1/index/stats?query=${match}&${range}`), {
    streams: 2,
    chunks: 2,
    entries: 3,
    bytes: `cart is emptypayment failed trace=${TRACE}card declined`.length,
  })
})

t.test('an unsupported word is refused by name, with its place', async t => {
  const { text, range } = await started(t)
  const f = async (query: string, expected: string, more = '') => {
    const { status, body } = await text(`/loki/api/v1/query_range?query=${encodeURIComponent(query)}&${range}${more}`)
    t.equal(status, 400, query)
    t.match(body, expected)
  }
  await f('', 'parse error at line 1, col 1: unexpected the end; expected a stream selector')
  await f('{a="b"', 'col 7: unexpected the end; expected ,')
  await f('{a=b}', 'col 4: unexpected b; expected a quoted text')
  await f('{a="b"} |', 'unexpected the end')
  await f('{a="b"}\n| json', 'line 2, col 3: json is not supported: records have the labels service_name, level')
  await f('{a="b"} | line_format "x"', 'line_format is not supported')
  await f('{a="b"} | label_format x=`{{ .y }}`', 'only the template {{ contains "TEXT" __line__ }} is supported')
  await f('{a=~"("}', 'col 5: the expression is not a regular expression')
  await f('{a="b"} |~ "(?=x)"', 'uses a look-ahead')
  await f('{a="b"} ; drop table', 'cannot read ";"')
  await f('{a="unclosed}', 'cannot read "\\""')
  await f('topk(5, rate({}[5m]))', 'unexpected topk')
  await f('sum(count_over_time({}[5x]))', 'expected a duration such as 5m')
  await f('count_over_time({}[1s])', 'more than 11000 points', '&step=1ms')
  await f(`{} | ${'('.repeat(30)}a="b"${')'.repeat(30)}`, 'nested more than 20 deep')
  await f(`{a="${'x'.repeat(5000)}"}`, 'longer than 5000 characters')
  await f('sum(rate({}[5m]))', 'step must be a duration', '&step=often')
  t.equal((await text('/loki/api/v1/query_range?query={}&start=5&end=4')).status, 400)
  t.equal((await text('/loki/api/v1/query_range?query={}&start=soon')).status, 400)
  t.match(await text('/loki/api/v1/tail?query={}'), { status: 404, body: 'query_range' })
  t.equal((await text('/loki/api/v1/label/%/values')).status, 400)
})

t.test('a search is left when its client goes, and never meets records that were overwritten meanwhile', async t => {
  const { visit } = await import('../../processors/logs/search.ts')
  const { Ring } = await import('../../processors/logs/ring.ts')
  const ring = new Ring(1 << 20)
  const empty = { bytes: Buffer.alloc(0), start: 0, end: 0 }
  const push = (text: string): void => {
    const bytes = Buffer.from(text)
    ring.push({ low: 1, high: 0 }, 9, undefined, undefined, empty, { bytes, start: 0, end: bytes.length })
  }
  for (let i = 0; i < 5000; i++) push(`${i} ${'x'.repeat(100)}`)
  const seen: number[] = []
  const held = ring.records
  // A slice ends after 10 ms, so each record takes its time; between two slices others overwrite most of the ring.
  let pushed = 0
  const searching = visit(
    ring,
    record => {
      seen.push(Number(record.body.split(' ')[0]))
      for (const end = performance.now() + 0.2; performance.now() < end; );
      return true
    },
    new AbortController().signal,
  )
  const writing = setInterval(() => {
    for (let i = 0; i < 3000; i++) push(`${5000 + pushed++} ${'y'.repeat(100)}`)
  }, 1)
  await searching
  clearInterval(writing)
  t.same(
    seen,
    Array.from({ length: seen.length }, (_, i) => 4999 - i),
    'the newest first, each once',
  )
  t.ok(seen.length < held, 'those that were overwritten are passed over')
  const gone = AbortSignal.abort(new Error('gone'))
  let visited = 0
  await t.rejects(
    visit(
      ring,
      () => {
        visited++
        for (const end = performance.now() + 0.2; performance.now() < end; );
        return true
      },
      gone,
    ),
    { message: 'gone' },
  )
  t.ok(visited < ring.records)
})
