// Ordinary families on the page: their lines are kept from scrape to scrape, and only the values are written anew.

import t from 'tap'
import { Scrape } from '../../exporter/prometheus.ts'
import { CounterColumn } from '../../metrics/columns.ts'
import { counter, gauge, histogram } from '../../metrics/family.ts'
import { Metrics } from '../../metrics/registry.ts'
import { SeriesTable } from '../../metrics/table.ts'
import fc from '../property.ts'

const NOW = new AbortController().signal
const OPENMETRICS = 'application/openmetrics-text;version=1.0.0'

/** The samples of a text page: the labels of each in alphabetical order, since the order means nothing. */
function samples(text: string): string[] {
  const lines = text.split('\n').filter(line => line !== '' && !line.startsWith('#'))
  return lines.map(line => {
    const [, name = '', labels = '', value = ''] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? []
    return sample(
      name,
      Array.from(labels.matchAll(/\w+="(?:[^"\\]|\\.)*"/g), ([pair]) => pair),
      value,
    )
  })
}

function sample(name: string, pairs: readonly string[], value: string): string {
  return `${name}{${pairs.toSorted().join()}} ${value}`
}

/** The same as prom-client has it. */
async function expected(metrics: Metrics): Promise<string[]> {
  const families = await metrics.registry.getMetricsAsJSON()
  return families.flatMap(({ name, values }) =>
    values.map(each => {
      const { labels, value, metricName = name } = each as typeof each & { readonly metricName?: string }
      const pairs = Object.entries(labels).map(([label, text]) => `${label}="${text}"`)
      return sample(metricName, pairs, String(value))
    }),
  )
}

t.test('whatever comes, changes and goes, the page has the series and values that prom-client has', async t => {
  const label = fc.constantFrom('a', 'b', 'ü', 'long enough for several words')
  const step = fc.oneof(
    fc.record({ kind: fc.constantFrom('inc', 'gauge', 'observe', 'read'), label, value: fc.nat(5_000_000_000) }),
    fc.record({ kind: fc.constantFrom('clear', 'remove', 'scrape'), label, value: fc.constant(0) }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async steps => {
      const metrics = new Metrics()
      const scrape = new Scrape(metrics, [])
      const jobs = metrics.counter(counter('jobs_total', 'Jobs.', ['queue']))
      const depth = metrics.gauge(gauge('depth', 'Depth.', ['queue']))
      const wait = metrics.histogram(histogram('wait_seconds', 'Wait.', ['queue'], [0.5, 1]))
      const files = metrics.reading(gauge('files', 'Files.', ['queue', 'mode']))
      const bare = metrics.counter(counter('bare_total', 'No labels.'))
      for (const { kind, label: queue, value } of [...steps, { kind: 'scrape', label: '', value: 0 }]) {
        if (kind === 'inc') jobs.inc({ queue }, value)
        else if (kind === 'gauge') depth.set({ queue }, -value / 7)
        else if (kind === 'observe') wait.observe({ queue }, (value % 3) / 1.5)
        else if (kind === 'read') files.set({ queue, mode: value % 2 ? 'r' : 'w' }, value)
        else if (kind === 'clear') files.clear()
        else if (kind === 'remove') depth.remove({ queue })
        else {
          bare.inc()
          const page = await scrape.scrape(undefined, NOW)
          t.same(samples(Buffer.concat(page.chunks).toString()), await expected(metrics))
        }
      }
    }),
    { numRuns: 60 },
  )
})

t.test('a reading that is set anew with other labels has those on the page', async t => {
  const metrics = new Metrics()
  const scrape = new Scrape(metrics, [])
  const files = metrics.reading(gauge('files', 'Files.', ['mode']))
  for (const mode of ['r', 'w', 'w', 'r']) {
    files.clear()
    files.set({ mode }, 1)
    const { chunks } = await scrape.scrape(OPENMETRICS, NOW)
    t.match(Buffer.concat(chunks).toString(), `# TYPE files gauge\nfiles{mode="${mode}"} 1\n`)
  }
})

t.test('values that change while a page is being read stand on it as they were when it began', async t => {
  const metrics = new Metrics()
  const table = new SeriesTable(['n'], 50_000)
  const calls = new CounterColumn(table, counter('calls_total', 'Calls.', table.labels))
  metrics.add(calls)
  const jobs = metrics.counter(counter('jobs_total', 'Jobs.', ['queue']))
  for (let n = 0; n < 20_000; n++) calls.add(table.slot(Uint32Array.of(table.symbols.text(String(n)))), 1)
  jobs.inc({ queue: 'mail' }, 3)
  const { chunks } = await new Scrape(metrics, []).stream(undefined, NOW)
  const read: Buffer[] = []
  for await (const chunk of chunks) {
    read.push(Buffer.from(chunk))
    jobs.inc({ queue: 'mail' })
    jobs.inc({ queue: 'new' })
  }
  t.ok(read.length > 1, 'it was written in several parts')
  const page = Buffer.concat(read).toString()
  t.match(page, '# TYPE jobs_total counter\njobs_total{queue="mail"} 3\n')
  t.notMatch(page, 'queue="new"')
})

t.test('labels of any length and alphabet are written whole, by a table and by an ordinary family', async t => {
  const metrics = new Metrics()
  const table = new SeriesTable(['v'], 1000)
  const calls = new CounterColumn(table, counter('calls_total', 'Calls.', table.labels))
  metrics.add(calls)
  const depth = metrics.gauge(gauge('depth', 'Depth.', ['v']))
  const values = ['x', 'ü', '漢', '😀'].flatMap(each => Array.from({ length: 12 }, (_, n) => each.repeat(n + 1)))
  for (const value of values) {
    calls.add(table.slot(Uint32Array.of(table.symbols.text(value))), 7)
    depth.set({ v: value }, 7)
  }
  const lines = Buffer.concat((await new Scrape(metrics, []).scrape(undefined, NOW)).chunks)
    .toString()
    .split('\n')
  for (const name of ['calls_total', 'depth'])
    t.same(
      lines.filter(line => line.startsWith(name)),
      values.map(value => `${name}{v="${value}"} 7`),
    )
})
