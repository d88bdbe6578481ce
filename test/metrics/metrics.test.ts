import t from 'tap'
import { Scrape, type Source } from '../../exporter/prometheus.ts'
import { CounterColumn, HistogramColumn } from '../../metrics/columns.ts'
import { counter, gauge, histogram } from '../../metrics/family.ts'
import { Metrics } from '../../metrics/registry.ts'
import { SeriesTable } from '../../metrics/table.ts'

const OPENMETRICS = 'application/openmetrics-text;version=1.0.0'

/** A deadline that keeps the test alive until it passes. */
function within(ms: number): AbortSignal {
  const deadline = new AbortController()
  const timer = setTimeout(() => deadline.abort(new Error('the deadline passed')), ms)
  t.teardown(() => clearTimeout(timer))
  return deadline.signal
}

const scrapes = new WeakMap<Metrics, Scrape>()

/** One scrape as text. */
async function page(metrics: Metrics, accept?: string): Promise<string> {
  const scrape = scrapes.get(metrics) ?? new Scrape(metrics, [])
  scrapes.set(metrics, scrape)
  return Buffer.concat((await scrape.scrape(accept, within(5000))).chunks).toString()
}

/** The lines of one family's samples. */
function samples(text: string, name: string): string[] {
  return text.split('\n').filter(line => line.startsWith(name))
}

t.test('a counter is written with its help and type in the older text format', async t => {
  const metrics = new Metrics()
  metrics.counter(counter('app_jobs_total', 'Jobs.', ['queue'])).inc({ queue: 'mail' }, 3)
  const text = await page(metrics)
  t.match(text, '# HELP app_jobs_total Jobs.\n# TYPE app_jobs_total counter\napp_jobs_total{queue="mail"} 3\n')
  t.notMatch(text, '# EOF')
})

t.test('OpenMetrics names the family of a counter without _total and ends with # EOF', async t => {
  const metrics = new Metrics()
  metrics.counter(counter('app_jobs_total', 'Jobs.', ['queue'])).inc({ queue: 'mail' }, 3)
  const text = await page(metrics, OPENMETRICS)
  t.match(text, '# HELP app_jobs Jobs.\n# TYPE app_jobs counter\napp_jobs_total{queue="mail"} 3\n')
  t.ok(text.endsWith('# EOF\n'))
})

t.test('bounds of buckets are floats in OpenMetrics and short in text', async t => {
  const metrics = new Metrics()
  metrics.histogram(histogram('app_wait_seconds', 'Wait.', [], [0.5, 1])).observe(0.7)
  t.same(samples(await page(metrics), 'app_wait'), [
    'app_wait_seconds_bucket{le="0.5"} 0',
    'app_wait_seconds_bucket{le="1"} 1',
    'app_wait_seconds_bucket{le="+Inf"} 1',
    'app_wait_seconds_sum 0.7',
    'app_wait_seconds_count 1',
  ])
  t.match(await page(metrics, OPENMETRICS), 'app_wait_seconds_bucket{le="1.0"} 1\n')
})

t.test('a reading is absent until it is set, and again after it is cleared', async t => {
  const metrics = new Metrics()
  const reading = metrics.reading(gauge('app_fds', 'Open.'))
  t.same(samples(await page(metrics), 'app_fds'), [])
  reading.set({}, 5)
  t.same(samples(await page(metrics), 'app_fds'), ['app_fds 5'])
  reading.set({}, undefined)
  reading.set({}, Number.NaN)
  t.same(samples(await page(metrics), 'app_fds'), ['app_fds 5'], 'a failed read changes nothing')
  reading.clear()
  t.same(samples(await page(metrics), 'app_fds'), [])
})

t.test('a counter that is read is given its running total', async t => {
  const metrics = new Metrics()
  const reading = metrics.reading(counter('app_cpu_seconds_total', 'CPU.', ['mode']))
  reading.set({ mode: 'user' }, 1.5)
  reading.set({ mode: 'user' }, 2.25)
  t.same(samples(await page(metrics), 'app_cpu'), ['app_cpu_seconds_total{mode="user"} 2.25'])
})

t.test('label values are escaped, so that none can forge a line', async t => {
  const metrics = new Metrics()
  const forged = 'a"} 1\nevil{x="\\'
  metrics.gauge(gauge('app_x', 'A help\nwith \\ and a line feed.', ['v'])).set({ v: forged }, 1)
  const text = await page(metrics)
  t.match(text, 'app_x{v="a\\"} 1\\nevil{x=\\"\\\\"} 1\n')
  t.match(text, '# HELP app_x A help\\nwith \\\\ and a line feed.\n')
  t.same(samples(text, 'evil'), [])
})

t.test('the format follows the Accept header', async t => {
  const metrics = new Metrics()
  const scrape = new Scrape(metrics, [])
  const f = async (accept: string | undefined, expected: string) => {
    const { contentType } = await scrape.scrape(accept, within(1000))
    t.match(contentType, expected, `${accept}`)
  }
  await f(undefined, 'text/plain; version=0.0.4')
  await f('*/*', 'text/plain; version=0.0.4')
  await f('text/html', 'text/plain; version=0.0.4')
  await f('application/openmetrics-text', 'application/openmetrics-text; version=1.0.0')
  await f('application/openmetrics-text;version=0.0.1,text/plain;version=0.0.4;q=0.5', 'text/plain')
  await f('application/openmetrics-text;version=1.0.0;q=0.2,text/plain;version=0.0.4;q=0.5', 'text/plain')
  await f('application/openmetrics-text;q=0', 'text/plain')
  // The header of Prometheus 3.
  await f(
    'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2',
    'application/openmetrics-text; version=1.0.0',
  )
})

t.test('a collector that fails or runs too long spoils only its own numbers', async t => {
  const metrics = new Metrics()
  const good = metrics.reading(gauge('app_good', 'Good.'))
  const sources: Source[] = [
    { name: 'good', collect: () => good.set({}, 1) },
    {
      name: 'broken',
      collect: () => {
        throw new Error('cannot read it')
      },
    },
    { name: 'rejected', collect: () => Promise.reject(new Error('no')) },
    { name: 'slow', collect: () => new Promise(() => {}) },
  ]
  const scrape = new Scrape(metrics, sources)
  const text = Buffer.concat((await scrape.scrape(undefined, within(50))).chunks).toString()
  t.same(samples(text, 'app_good'), ['app_good 1'])
  t.same(samples(text, 'pillion_collector_success').sort(), [
    'pillion_collector_success{collector="broken"} 0',
    'pillion_collector_success{collector="good"} 1',
    'pillion_collector_success{collector="rejected"} 0',
    'pillion_collector_success{collector="slow"} 0',
  ])
  t.equal(samples(text, 'pillion_collector_duration_seconds').length, 4)
})

t.test('a collection that has not ended is not begun again', async t => {
  const metrics = new Metrics()
  let calls = 0
  const ends = Promise.withResolvers<void>()
  const source = {
    name: 'slow',
    collect: () => {
      calls++
      return ends.promise
    },
  }
  const scrape = new Scrape(metrics, [source])
  await scrape.scrape(undefined, within(20))
  await scrape.scrape(undefined, within(20))
  t.equal(calls, 1)
  ends.resolve()
  await new Promise(setImmediate)
  const { chunks } = await scrape.scrape(undefined, within(1000))
  t.equal(calls, 2)
  t.match(Buffer.concat(chunks).toString(), 'pillion_collector_success{collector="slow"} 1')
})

t.test('scrapes that arrive together share one collection, whatever their format', async t => {
  const metrics = new Metrics()
  let calls = 0
  const scrape = new Scrape(metrics, [{ name: 'counted', collect: async () => void calls++ }])
  const [a, b, c] = await Promise.all([
    scrape.scrape(undefined, within(1000)),
    scrape.scrape(undefined, within(1000)),
    scrape.scrape(OPENMETRICS, within(1000)),
  ])
  t.equal(calls, 1)
  t.equal(a, b)
  t.not(a, c)
})

/** A table with a counter and a histogram over one label. */
function shop(limit: number) {
  const metrics = new Metrics()
  const table = metrics.table('shop', ['route'], limit)
  const calls = new CounterColumn(table, counter('shop_calls_total', 'Calls.', ['route']), { exemplars: true })
  const wait = new HistogramColumn(table, histogram('shop_wait_seconds', 'Wait.', ['route'], [0.1, 1]))
  metrics.add(calls)
  metrics.add(wait)
  const slot = (route: string) => table.slot(Uint32Array.of(table.symbols.text(route)))
  return { metrics, table, calls, wait, slot }
}

t.test('a series table writes what prom-client would, from slots', async t => {
  const { metrics, calls, wait, slot } = shop(10)
  calls.add(slot('/a'), 1)
  calls.add(slot('/a'), 1)
  calls.add(slot('/"b"\n'), 1)
  wait.observe(slot('/a'), 0.05)
  wait.observe(slot('/a'), 3)
  const text = await page(metrics)
  t.same(samples(text, 'shop_'), [
    'shop_calls_total{route="/a"} 2',
    'shop_calls_total{route="/\\"b\\"\\n"} 1',
    'shop_wait_seconds_bucket{route="/a",le="0.1"} 1',
    'shop_wait_seconds_bucket{route="/a",le="1"} 1',
    'shop_wait_seconds_bucket{route="/a",le="+Inf"} 2',
    'shop_wait_seconds_sum{route="/a"} 3.05',
    'shop_wait_seconds_count{route="/a"} 2',
  ])
  const theirs = await metrics.registry.getMetricsAsString(calls as never)
  t.match(theirs, 'shop_calls_total{route="/a"} 2', 'prom-client itself can read the table')
})

t.test('beyond its limit a table counts in one overflow series, and the total stays exact', async t => {
  const { metrics, table, calls, slot } = shop(100)
  for (let i = 0; i < 1000; i++) calls.add(slot(`/${i}`), 1)
  for (let i = 0; i < 100; i++) calls.add(slot(`/${i}`), 1)
  t.equal(table.series, 100)
  const text = await page(metrics)
  const lines = samples(text, 'shop_calls_total')
  t.equal(lines.length, 101)
  t.equal(
    lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0),
    1100,
  )
  t.same(lines[0], 'shop_calls_total{metric_overflow="true"} 900')
  t.match(text, 'pillion_series{family="shop"} 100')
  t.match(text, 'pillion_series_overflow_total{family="shop"} 900')
})

t.test('exemplars stand on counters and buckets in OpenMetrics only, the newest one each', async t => {
  const { metrics, calls, wait, slot } = shop(10)
  const ids = Buffer.alloc(24, 0xab)
  calls.add(slot('/a'), 1)
  calls.exemplar(slot('/a'), 1, 1750000000.1234, ids, 0, 16)
  const cell = wait.observe(slot('/a'), 0.5)
  wait.exemplar(cell, 0.5, 1750000000.5, ids, 0, 16)
  const exemplar = `# {trace_id="${'ab'.repeat(16)}",span_id="${'ab'.repeat(8)}"}`
  const text = await page(metrics, OPENMETRICS)
  t.match(text, `shop_calls_total{route="/a"} 1 ${exemplar} 1 1750000000.123\n`)
  t.match(text, `shop_wait_seconds_bucket{route="/a",le="1.0"} 1 ${exemplar} 0.5 1750000000.500\n`)
  t.match(text, 'shop_wait_seconds_bucket{route="/a",le="0.1"} 0\n')
  t.notMatch(await page(metrics), 'trace_id')
})

t.test('a table grows far beyond its first size without losing a number', async t => {
  const { metrics, calls, wait, slot } = shop(5000)
  for (let round = 0; round < 3; round++)
    for (let i = 0; i < 5000; i++) {
      calls.add(slot(`/${i}`), 1)
      wait.observe(slot(`/${i}`), i % 2)
    }
  const text = await page(metrics)
  t.equal(
    samples(text, 'shop_calls_total').every(line => line.endsWith(' 3')),
    true,
  )
  t.equal(samples(text, 'shop_wait_seconds_count').length, 5000)
  t.match(text, 'shop_wait_seconds_sum{route="/4999"} 3\n')
})

t.test('symbols are found by their bytes, and long values are cut to 256', async t => {
  const { symbols } = new SeriesTable(['a'], 10)
  const long = Buffer.alloc(1000, 'x')
  const one = symbols.intern(long, 0, 1000)
  t.equal(symbols.escaped(one), 'x'.repeat(256))
  t.equal(symbols.find(long, 0, 300), one)
  t.equal(symbols.find(long, 0, 255), -1)
  t.equal(
    symbols.escaped(symbols.intern(Buffer.from([0xff, 0x61]), 0, 2)),
    '\ufffda',
    'bytes that are not UTF-8 are shown as such',
  )
  for (let i = 0; i < 3000; i++) symbols.text(`value ${i}`)
  t.equal(symbols.size, 3002)
  t.equal(symbols.text('value 2999'), 3001)
})

t.test('numbers are spelled as JavaScript spells them, whichever way they are written', async t => {
  const { Page } = await import('../../metrics/page.ts')
  const f = (value: number, expected = String(value)): void => {
    const out = new Page()
    out.number(value)
    out.numberAt(Float64Array.of(0, value), 1)
    t.equal(Buffer.concat(out.take()).toString(), expected + expected)
  }
  for (const value of [0, 7, 10, 99, 100, 12_345, 2 ** 31 - 1, 2 ** 31, 2 ** 53, 1e21, -1, -0.5]) f(value)
  for (const value of [0.5, 1.25, 0.001, 0.000001, 9.99e-7, 0.0000015, 0.1 + 0.2, 999_999.999999999, 1e6 + 0.5])
    f(value)
  for (const value of [0.999999999, 0.9999999999, 1.000000001, 123.456, 5e-324, Number.MAX_VALUE]) f(value)
  // Nanoseconds as a span has them, and what is nearly one.
  for (let n = 1; n < 2e15; n = n * 3 + 1) for (const value of [n / 1e9, n * 1e-9, n / 1e9 + n / 7e12]) f(value)
  // Times in milliseconds and in between, and sizes.
  for (let n = 1; n < 500; n++) {
    const ms = 1_700_000_000_000 + n ** 4
    for (const value of [ms / 1000, ms / 1000 + n * 1e-6, ms / 1e6, n ** 5.5, Math.round(n ** 5.5), n ** 5 + 0.25])
      f(value)
  }
  for (const value of [999_999_999_999.999, 999_999_999_999.9999, 1e12, 1e12 + 0.5, 1e15 - 1, 1e15, 1e15 + 2]) f(value)
  f(Number.NaN, 'NaN')
  f(Number.POSITIVE_INFINITY, '+Inf')
  f(Number.NEGATIVE_INFINITY, '-Inf')
})

t.test('a scrape that is written while it is read says what a whole one says', async t => {
  const { metrics, calls, wait, slot } = shop(6000)
  for (let n = 0; n < 6000; n++) {
    const at = slot(`/${n}${'x'.repeat(n % 300)}`)
    calls.add(at, n)
    wait.observe(at, n / 1000)
  }
  const scrape = new Scrape(metrics, [])
  for (const accept of [undefined, OPENMETRICS]) {
    const whole = Buffer.concat((await scrape.scrape(accept, within(5000))).chunks)
    const parts: Buffer[] = []
    const { chunks, release } = await scrape.stream(accept, within(5000))
    for await (const chunk of chunks) {
      parts.push(Buffer.from(chunk))
      chunk.fill('#')
      release?.(chunk)
    }
    t.ok(parts.length > 10)
    t.ok(Buffer.concat(parts).equals(whole))
  }
})
