// The application's page as it comes out: merged, in each of the formats, beside the families of the sidecar.

import t, { type Test } from 'tap'
import { gauge } from '../../metrics/family.ts'
import { asText, decoded } from '../metrics/client-model.ts'
import {
  answer,
  OPENMETRICS,
  OPENMETRICS_TYPE,
  PROTOBUF,
  type Sidecar,
  serve,
  sidecar,
  TEXT_TYPE,
  UTF8,
} from './application.ts'

async function beside(t: Test, page: string, type = TEXT_TYPE, options = {}): Promise<Sidecar> {
  return sidecar(t, { url: `${await serve(t, answer(page, type))}/metrics`, ...options })
}

const TEXT = `# HELP http_requests_total Requests with "quotes" and \\\\ and \\n.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027
http_requests_total{method="post",code="400"} 3
# HELP load Load.
# TYPE load gauge
load 1.5
# TYPE wait_seconds histogram
wait_seconds_bucket{le="0.1"} 2
wait_seconds_bucket{le="1"} 5
wait_seconds_bucket{le="+Inf"} 6
wait_seconds_sum 4.25
wait_seconds_count 6
# TYPE size_bytes summary
size_bytes{quantile="0.5"} 10
size_bytes{quantile="0.99"} NaN
size_bytes_sum 100
size_bytes_count 10
# TYPE old untyped
old{path="C:\\\\dir",text="a \\"b\\" \\n"} -1e-05
lonely 7
`

t.test('a text page goes on as it is to a scraper of text', async t => {
  const { theirs, number } = await beside(t, TEXT)
  t.equal(await theirs(), TEXT.replace('lonely 7', '# TYPE lonely untyped\nlonely 7'))
  t.equal(await number('app_metrics_up'), 1)
  t.equal(await number('app_metrics_samples'), 14)
  t.equal(await number('app_metrics_body_bytes'), TEXT.length)
  t.equal(await number('app_metrics_dropped_total{reason="syntax"}'), 0)
})

t.test('a text page becomes OpenMetrics', async t => {
  const { theirs } = await beside(t, TEXT)
  t.equal(
    await theirs(OPENMETRICS),
    TEXT.replace('# HELP http_requests_total Requests with "quotes"', '# HELP http_requests Requests with \\"quotes\\"')
      .replace('# TYPE http_requests_total', '# TYPE http_requests')
      .replace('old untyped', 'old unknown')
      .replace('le="1"', 'le="1.0"')
      .replace('lonely 7', '# TYPE lonely unknown\nlonely 7\n# EOF'),
  )
})

t.test('a text page becomes protobuf', async t => {
  const { bytes } = await beside(t, TEXT)
  const families = decoded(await bytes(PROTOBUF)).filter(({ name }) => !/^(app|pillion)_/.test(name))
  t.equal(
    asText(families),
    TEXT.replace('# TYPE wait_seconds', '# HELP wait_seconds \n# TYPE wait_seconds')
      .replace('# TYPE size_bytes', '# HELP size_bytes \n# TYPE size_bytes')
      .replace('# TYPE old', '# HELP old \n# TYPE old')
      .replace('-1e-05', '-0.00001')
      .replace('lonely 7', '# HELP lonely \n# TYPE lonely untyped\nlonely 7'),
  )
})

const RICH = `# TYPE jobs counter
# UNIT jobs jobs
# HELP jobs Jobs "done".
jobs_total{kind="a"} 5.0 # {trace_id="0af7651916cd43dd8448eb211c80319c"} 1.0 1700000000.123
jobs_created{kind="a"} 1700000000.5
jobs_total{kind="b"} 6.0
jobs_created{kind="b"} 1700000001.5
# TYPE wait_seconds histogram
# UNIT wait_seconds seconds
wait_seconds_bucket{le="0.1"} 2 # {trace_id="1"} 0.05
wait_seconds_bucket{le="+Inf"} 3
wait_seconds_count 3
wait_seconds_sum 4.5
wait_seconds_created 1700000000.0
# TYPE build info
build_info{version="1"} 1
# TYPE state stateset
state{state="on"} 1
state{state="off"} 0
# TYPE depth gaugehistogram
depth_bucket{le="1.0"} 2
depth_bucket{le="+Inf"} 4
depth_gcount 4
depth_gsum 7.0
# TYPE free gauge
free 1.0
# EOF
`

t.test('an OpenMetrics page goes on as it is to a scraper of OpenMetrics', async t => {
  const { theirs } = await beside(t, RICH, OPENMETRICS_TYPE)
  t.equal(
    await theirs(OPENMETRICS),
    RICH.replace(
      '# TYPE jobs counter\n# UNIT jobs jobs\n# HELP jobs Jobs "done".\n',
      '# HELP jobs Jobs \\"done\\".\n# TYPE jobs counter\n',
    ),
  )
})

t.test(
  'an OpenMetrics page becomes text: types that text does not have are gauges, exemplars are left out',
  async t => {
    const { theirs } = await beside(t, RICH, OPENMETRICS_TYPE)
    t.equal(
      await theirs(),
      `# HELP jobs_total Jobs "done".
# TYPE jobs_total counter
jobs_total{kind="a"} 5.0
jobs_total{kind="b"} 6.0
# HELP jobs_created Jobs "done".
# TYPE jobs_created gauge
jobs_created{kind="a"} 1700000000.5
jobs_created{kind="b"} 1700000001.5
# TYPE wait_seconds histogram
wait_seconds_bucket{le="0.1"} 2
wait_seconds_bucket{le="+Inf"} 3
wait_seconds_count 3
wait_seconds_sum 4.5
# TYPE wait_seconds_created gauge
wait_seconds_created 1700000000.0
# TYPE build_info gauge
build_info{version="1"} 1
# TYPE state gauge
state{state="on"} 1
state{state="off"} 0
# TYPE depth_bucket untyped
depth_bucket{le="1.0"} 2
depth_bucket{le="+Inf"} 4
# TYPE depth_gcount untyped
depth_gcount 4
# TYPE depth_gsum untyped
depth_gsum 7.0
# TYPE free gauge
free 1.0
`,
    )
  },
)

t.test('an OpenMetrics page becomes protobuf, with exemplars and start times', async t => {
  const { bytes } = await beside(t, RICH, OPENMETRICS_TYPE)
  const families = new Map(decoded(await bytes(PROTOBUF)).map(family => [family.name, family]))
  t.match(families.get('jobs_total'), {
    type: 'COUNTER',
    metric: [
      {
        label: [{ name: 'kind', value: 'a' }],
        counter: {
          value: 5,
          exemplar: {
            label: [{ name: 'trace_id', value: '0af7651916cd43dd8448eb211c80319c' }],
            value: 1,
            timestamp: { seconds: 1_700_000_000 },
          },
          createdTimestamp: { seconds: 1_700_000_000, nanos: 500_000_000 },
        },
      },
      { counter: { value: 6, createdTimestamp: { seconds: 1_700_000_001 } } },
    ],
  })
  t.match(families.get('wait_seconds'), {
    type: 'HISTOGRAM',
    metric: [
      {
        histogram: {
          sampleCount: 3,
          sampleSum: 4.5,
          bucket: [
            { cumulativeCount: 2, upperBound: 0.1, exemplar: { value: 0.05 } },
            { cumulativeCount: 3, upperBound: Number.POSITIVE_INFINITY },
          ],
          createdTimestamp: { seconds: 1_700_000_000 },
        },
      },
    ],
  })
  t.match(families.get('depth_gcount'), { type: 'UNTYPED', metric: [{ untyped: { value: 4 } }] })
  t.match(families.get('build_info'), { type: 'GAUGE' })
})

t.test('a family that stands in several places of the page is brought together', async t => {
  const { theirs } = await beside(t, 'a{x="1"} 1\nb 2\na{x="2"} 3\n')
  t.equal(await theirs(), '# TYPE a untyped\na{x="1"} 1\na{x="2"} 3\n# TYPE b untyped\nb 2\n')
})

t.test('the lines of one label set of a histogram are brought together', async t => {
  const page = `# TYPE h histogram
h_bucket{x="1",le="+Inf"} 1
h_bucket{x="2",le="+Inf"} 2
h_sum{x="1"} 1
h_sum{x="2"} 2
h_count{x="1"} 1
h_count{x="2"} 2
`
  const { theirs } = await beside(t, page)
  const line = (name: string) => page.split('\n').find(each => each.startsWith(name))
  t.equal(
    await theirs(),
    `${[
      '# TYPE h histogram',
      line('h_bucket{x="1"'),
      line('h_sum{x="1"'),
      line('h_count{x="1"'),
      line('h_bucket{x="2"'),
      line('h_sum{x="2"'),
      line('h_count{x="2"'),
    ].join('\n')}\n`,
  )
})

t.test('of a series that occurs twice the first one stays, in whatever order its labels come', async t => {
  const { theirs, number } = await beside(
    t,
    'a{x="1",y="2"} 1\na{y="2",x="1"} 2\na{x="1",y="2",z=""} 3\na{x="2",y="1"} 4\na{ y="2", x="1", } 5\n',
  )
  t.equal(await theirs(), '# TYPE a untyped\na{x="1",y="2"} 1\na{x="2",y="1"} 4\n')
  t.equal(await number('app_metrics_dropped_total{reason="duplicate"}'), 3)
})

t.test('a second TYPE is ignored, and so is one after the first sample', async t => {
  const { theirs } = await beside(t, '# TYPE a counter\n# TYPE a gauge\na_total 1\na 1\nb 1\n# TYPE b counter\n')
  t.equal(
    await theirs(),
    '# TYPE a counter\na 1\n# TYPE a_total untyped\na_total 1\n# TYPE b untyped\nb 1\n'.replace(
      /(# TYPE a counter\na 1\n)(# TYPE a_total untyped\na_total 1\n)/,
      '$1$2',
    ),
  )
})

t.test('a histogram that contradicts itself keeps its numbers and loses its type', async t => {
  const page = '# HELP h H.\n# TYPE h histogram\nh_bucket{le="1"} 5\nh_bucket{le="+Inf"} 3\nh_sum 1\nh_count 3\n'
  const { theirs, number } = await beside(t, page)
  t.equal(
    await theirs(OPENMETRICS),
    '# HELP h_bucket H.\n# TYPE h_bucket unknown\nh_bucket{le="1.0"} 5\nh_bucket{le="+Inf"} 3\n# HELP h_sum H.\n# TYPE h_sum unknown\nh_sum 1\n# HELP h_count H.\n# TYPE h_count unknown\nh_count 3\n# EOF\n',
  )
  t.equal(await number('app_metrics_untyped_families'), 1)
})

t.test('a counter without _total keeps its name: in OpenMetrics it loses its type', async t => {
  const { theirs } = await beside(t, '# TYPE hits counter\nhits 3\n')
  t.equal(await theirs(), '# TYPE hits counter\nhits 3\n')
  t.equal(await theirs(OPENMETRICS), '# TYPE hits unknown\nhits 3\n# EOF\n')
})

t.test('a family with the name of one of ours is left out and counted', async t => {
  const own = await beside(t, 'app_metrics_up 9\npillion_mine 1\nup 1\nscrape_x 2\ntheir_own 1\n')
  own.metrics.gauge(gauge('their_own', 'No, ours.')).set(5)
  t.equal(await own.number('their_own'), 5)
  t.equal(await own.number('app_metrics_up'), 1)
  t.equal(await own.number('app_metrics_samples'), 0)
  t.equal(await own.number('app_metrics_dropped_total{reason="name_collision"}'), 5)
  t.notMatch(await own.text(), /pillion_mine|^up |scrape_x/m)
  t.match(
    own.running
      .findings?.()
      .map(({ text }) => text)
      .join('\n'),
    /left out, since the page has them already: app_metrics_up/,
  )
})

t.test('a family that the application sends by OTLP too is shown once, as it came by OTLP', async t => {
  const own = await beside(t, 'orders_total 7\nother 1\n')
  const source = own.metrics.imports('otlp_metrics', { series: 10, families: 10 })
  source.add({ name: 'orders_total', type: 'counter', help: '', unit: '' }, 'by="otlp"', 8, 0)
  const page = await own.text()
  t.match(page, /^orders_total\{by="otlp"\} 8$/m)
  t.notMatch(page, /^orders_total 7/m)
  t.match(page, /^other 1$/m)
  t.equal(await own.number('app_metrics_dropped_total{reason="otlp"}'), 1)
})

t.test('times are left out: the values are those of now', async t => {
  const { theirs } = await beside(t, 'a 1 1700000000000\nb{x="1"} 2 -5\n')
  t.equal(await theirs(), '# TYPE a untyped\na 1\n# TYPE b untyped\nb{x="1"} 2\n')
})

t.test('numbers that only some readers know are spelled as all do', async t => {
  const { theirs } = await beside(t, 'a Inf\nb -inf\nc nan\nd +5\ne .5\nf 1.\ng 1E3\nh 12345678901234567890\n')
  const values = [...(await theirs()).matchAll(/^(\w) (\S+)$/gm)].map(([, name, value]) => `${name} ${value}`)
  t.same(values, ['a +Inf', 'b -Inf', 'c NaN', 'd 5', 'e 0.5', 'f 1', 'g 1E3', 'h 12345678901234567890'])
})

t.test('spaces, Windows line ends and a missing last line end do no harm', async t => {
  const { theirs } = await beside(t, '# TYPE a gauge\r\n  a { x = "1" , } \t 1\r\nb{} 2\r\n\r\n# a comment\r\nc 3')
  t.equal(
    await theirs(OPENMETRICS),
    '# TYPE a gauge\na{x="1"} 1\n# TYPE b unknown\nb 2\n# TYPE c unknown\nc 3\n# EOF\n',
  )
})

const DOTTED = `# TYPE "http.requests" counter
{"http.requests","url.path"="/a\\"b",code="200"} 5
# TYPE plain gauge
plain{"region.name"="ü"} 1
`

t.test('names in UTF-8 go on to a scraper that takes them, and get underscores for others', async t => {
  const { theirs, text, bytes } = await beside(t, DOTTED)
  t.equal(
    await theirs(),
    '# TYPE http_requests counter\nhttp_requests{url_path="/a\\"b",code="200"} 5\n# TYPE plain gauge\nplain{region_name="ü"} 1\n',
  )
  const page = await text(`${OPENMETRICS}${UTF8}`)
  t.match(page, '# TYPE "http.requests" unknown\n{"http.requests","url.path"="/a\\"b",code="200"} 5\n')
  t.match(page, 'plain{"region.name"="ü"} 1\n')
  const families = decoded(await bytes(`${PROTOBUF}${UTF8}`))
  t.match(families.find(({ name }) => name === 'http.requests')?.metric?.[0]?.label, [
    { name: 'url.path', value: '/a"b' },
    { name: 'code', value: '200' },
  ])
  t.ok(decoded(await bytes(PROTOBUF)).some(({ name }) => name === 'http_requests'))
})

t.test('two names that are one without UTF-8 are not both shown', async t => {
  const { theirs, number } = await beside(t, '{"a.b"} 1\na_b 2\nc{"x.y"="1"} 3\nc{x_y="1"} 4\n')
  t.equal(await theirs(), '# TYPE a_b untyped\na_b 1\n# TYPE c untyped\nc{x_y="1"} 3\n')
  t.equal(await number('app_metrics_dropped_total{reason="duplicate"}'), 2)
})

t.test('the content type says which escaping the page has', async t => {
  const { scrape } = await beside(t, 'a 1\n')
  const type = async (accept: string) => (await scrape.scrape(accept, AbortSignal.timeout(5000))).contentType
  t.match(await type(`${OPENMETRICS}${UTF8}`), /escaping=allow-utf-8$/)
  t.match(await type(OPENMETRICS), /escaping=underscores$/)
})

t.test('a counter foo_total and a gauge foo are two families in OpenMetrics too', async t => {
  const { theirs } = await beside(t, '# TYPE foo gauge\nfoo 1\n# TYPE foo_total counter\nfoo_total 2\n')
  t.equal(await theirs(OPENMETRICS), '# TYPE foo gauge\nfoo 1\n# TYPE foo_total unknown\nfoo_total 2\n# EOF\n')
})

t.test(
  'a gauge and a counter of one name in OpenMetrics, as client_golang writes them, both keep their types',
  async t => {
    const gauge = '# HELP foo Now.\n# TYPE foo gauge\nfoo 1\n'
    const counter = '# HELP foo Ever.\n# TYPE foo counter\nfoo_total 2\n'
    for (const page of [`${gauge}${counter}# EOF\n`, `${counter}${gauge}# EOF\n`]) {
      const { theirs } = await beside(t, page, OPENMETRICS_TYPE)
      const text = await theirs()
      t.match(text, '# HELP foo Now.\n# TYPE foo gauge\nfoo 1\n')
      t.match(text, '# HELP foo_total Ever.\n# TYPE foo_total counter\nfoo_total 2\n')
      t.equal(text.split('\n').length, 7)
      // One name cannot have two types there.
      t.match(await theirs(OPENMETRICS), /^# TYPE foo_total unknown\nfoo_total 2$/m)
      t.match(await theirs(OPENMETRICS), /^# TYPE foo gauge\nfoo 1$/m)
    }
  },
)

t.test('scrapers that come together share one scrape of the application, and so do those within a second', async t => {
  let asked = 0
  const url = await serve(t, (_, response) => {
    asked++
    setTimeout(() => response.writeHead(200, { 'content-type': TEXT_TYPE }).end(`value ${asked}\n`), 20)
  })
  const own = await sidecar(t, { url })
  const pages = await Promise.all([own.text(), own.text(OPENMETRICS), own.text(PROTOBUF), own.text()])
  t.equal(asked, 1)
  for (const page of [pages[0], pages[1], pages[3]]) t.match(page, /^value 1$/m)
  t.match(await own.text(), /^value 1$/m)
  t.equal(asked, 1)
  await new Promise(resolve => setTimeout(resolve, 1100))
  t.match(await own.text(), /^value 2$/m)
})

t.test('a page of another time is never shown: when the application fails, its series are gone', async t => {
  let fails = false
  const url = await serve(t, (_, response) => {
    if (fails) response.writeHead(503).end('a 1\n')
    else response.writeHead(200, { 'content-type': TEXT_TYPE }).end('a 1\n')
  })
  const own = await sidecar(t, { url })
  t.match(await own.text(), /^a 1$/m)
  fails = true
  await new Promise(resolve => setTimeout(resolve, 1100))
  const page = await own.text()
  t.notMatch(page, /^a 1$/m)
  t.match(page, /^app_metrics_up 0$/m)
  t.match(page, /^app_metrics_scrape_failures_total\{reason="status"\} 1$/m)
  t.notMatch(page, /^app_metrics_samples/m)
})

t.test('without an address nothing is asked and nothing is said', async t => {
  const own = await sidecar(t, {})
  t.notMatch(await own.text(), /^app_metrics_/m)
  t.same(own.running.findings?.(), [])
})
