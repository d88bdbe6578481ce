// The search form and TraceQL; the time axis; the strip.

import fc from 'fast-check'
import t from 'tap'
import { bar, clusters, coveredAt, panned, ticks, windowOf, zoomed } from '../../exporter/web/page/traces/axis.ts'
import {
  completed,
  completion,
  EMPTY,
  type Form,
  formOf,
  placeOf,
  queryOf,
  spelled,
  tagsOf,
} from '../../exporter/web/page/traces/form.ts'
import { bands, lanes, marks } from '../../exporter/web/page/traces/strip.ts'
import { prepare } from '../../traceql/prepare.ts'

t.test('the form writes TraceQL, and is filled from what it could have written', async t => {
  const f = (form: Partial<Form>, query: string): void => {
    t.equal(queryOf({ ...EMPTY, ...form }), query)
    t.same(formOf(query), { ...EMPTY, ...form }, query)
  }
  f({}, '')
  f({ service: 'shop' }, '{ resource.service.name = "shop" }')
  f(
    { service: 'a "b"\\', name: 'GET /', errors: true, min: '100ms', max: '1.5s' },
    '{ resource.service.name = "a \\"b\\"\\\\" && name = "GET /" && status = error && traceDuration >= 100ms && traceDuration <= 1.5s }',
  )
  f(
    { tags: 'http.route=/pay code=500 who="John Doe" id="7"' },
    '{ .http.route = "/pay" && .code = 500 && .who = "John Doe" && .id = "7" }',
  )
})

t.test('a query that the form cannot write is left to the field', async t => {
  for (const query of [
    '{ a = 1 || b = 2 }',
    '{ } | count() > 3',
    '{ duration > 1s }',
    '{ name =~ "x" }',
    '{ name = "a" && name = "b" }',
    'rubbish',
    '{ status = ok }',
    '{ .a > 3 }',
  ])
    t.equal(formOf(query), undefined, query)
  t.same(formOf('{}'), EMPTY)
})

t.test('whatever is put into the form is valid TraceQL, and comes back', async () => {
  const word = fc.string({ maxLength: 12 }).filter(each => !each.includes('\0'))
  await fc.assert(
    fc.asyncProperty(word, word, fc.boolean(), word, word, async (service, name, errors, key, value) => {
      const tag = key.trim() === '' ? '' : `${JSON.stringify(key)}=${JSON.stringify(value)}`
      const query = queryOf({
        ...EMPTY,
        service,
        name,
        errors,
        tags: /[\u0000-\u001f\u007f\ud800-\udfff]/.test(tag) ? '' : tag,
      })
      if (query === '') return
      await prepare(query)
      const form = formOf(query)
      if (form?.service !== service || form.name !== name || form.errors !== errors || queryOf(form) !== query)
        throw new Error(`${query} → ${JSON.stringify(form)}`)
    }),
    { numRuns: 300, seed: 16 },
  )
})

t.test('pairs of the form may have quotes', async t => {
  t.same(tagsOf('a=1 b="x y" "c d"=z nonsense'), [
    ['a', '1'],
    ['b', '"x y"'],
    ['c d', 'z'],
  ])
})

t.test('names and values are completed where they stand', async t => {
  const f = (text: string, expected: unknown): void => {
    const at = text.indexOf('|')
    t.match(completion(text.replace('|', ''), at) ?? 'none', expected, text)
  }
  f('{ |', { kind: 'tags', prefix: '' })
  f('{ span.ht|', { kind: 'tags', prefix: 'span.ht', from: 2 })
  f('{ name = "GE|', { kind: 'values', tag: 'name', prefix: '"GE' })
  f('{ .http.route = |', { kind: 'values', tag: '.http.route', prefix: '' })
  f('{ status = er|', { kind: 'values', tag: 'status', prefix: 'er' })
  f('{ name = "a" && res|', { kind: 'tags', prefix: 'res' })
  f('{ name = "a" |', 'none')
  f('|{ }', 'none')
  f('{ } |', 'none')
  t.same(completed('{ na }', { kind: 'tags', tag: '', prefix: 'na', from: 2, to: 4 }, 'name'), {
    query: '{ name =  }',
    cursor: 9,
  })
  t.equal(spelled('string', 'a "b"'), '"a \\"b\\""')
  t.equal(spelled('keyword', 'error'), 'error')
})

t.test('the place of a mistake is read from the answer', async t => {
  const wrong = await prepare('{ nam = }').then(
    () => '',
    error => (error as Error).message,
  )
  t.match(placeOf(wrong), { line: 1, column: 3 })
  t.equal(placeOf('too many queries'), undefined)
})

t.test('a window stays inside the trace, whatever an address says', async t => {
  t.same(windowOf(undefined, undefined, 100), { from: 0, to: 100 })
  t.same(windowOf(20, 10, 100), { from: 10, to: 20 })
  t.same(windowOf(Number.NaN, 5, 100), { from: 0, to: 100 })
  t.same(windowOf(-50, 1e9, 100), { from: 0, to: 100 })
  t.same(windowOf(5, 5, 0), { from: 0, to: 0.1 })
  t.same(zoomed({ from: 0, to: 100 }, 50, 0.5, 100), { from: 25, to: 75 })
  t.same(zoomed({ from: 25, to: 75 }, 30, 10, 100), { from: 0, to: 100 })
  t.same(panned({ from: 25, to: 75 }, 1, 100), { from: 50, to: 100 })
})

t.test('the text of a bar begins behind the later bars that lie upon its beginning', async t => {
  const f = (expected: number, ...later: readonly (readonly [left: number, width: number])[]) =>
    t.equal(
      coveredAt(
        0.25,
        0.125,
        later.map(([left, width]) => ({ left, width })),
      ),
      expected,
    )
  f(0)
  f(0, [0.375, 0.5])
  f(0.125, [0.3125, 0.0625])
  f(0.25, [0.375, 0.125], [0.25, 0.0625])
  f(0, [0, 0.125])
})

t.test('bars are cut to the window and say so; marks that would overlap are joined', async t => {
  const window = { from: 100, to: 200 }
  t.same(bar(window, 50, 100), { left: 0, width: 0.5, before: true, after: false })
  t.same(bar(window, 150, 0), { left: 0.5, width: 0, before: false, after: false })
  t.equal(bar(window, 0, 50), undefined)
  t.same(clusters(window, [90, 110, 111, 150], 0.05), [
    { at: 0.1, marks: [1, 2] },
    { at: 0.5, marks: [3] },
  ])
  t.same(ticks({ from: 0, to: 1000 }, 5), [0, 200, 400, 600, 800, 1000])
  t.same(ticks({ from: 3, to: 9 }, 3), [4, 6, 8])
})

t.test('the strip has a lane for each series on the axis of the spans, with gaps where nothing is known', async t => {
  const moments = {
    from: 1000,
    to: 1400,
    step: 100,
    series: [
      { name: 'memory', unit: 'bytes', values: [100, 110, 120, 130] },
      { name: 'cpu_wait', unit: 'share', values: [0.1, null, 0.5, 1.5] },
    ],
    marks: [
      { at: 1100, kind: 'health', text: 'failed' },
      { at: 5000, kind: 'restart', text: 'later' },
    ],
  }
  const window = { from: 0, to: 400_000 }
  const [first, second] = lanes(moments, 1000, window)
  t.match(first, { name: 'cpu_wait', label: 'waiting for CPU', most: 1.5, top: 1.5 })
  t.same(first!.runs, [
    [
      [0, 0.1 / 1.5],
      [0.25, 0.1 / 1.5],
    ],
    [
      [0.5, 0.5 / 1.5],
      [0.75, 0.5 / 1.5],
      [0.75, 1],
      [1, 1],
    ],
  ])
  t.match(second, { name: 'memory', most: 130 })
  t.same(
    marks(moments, 1000, window).map(({ x, text }) => [x, text]),
    [[0.25, 'failed']],
  )
  t.same(lanes({ ...moments, series: [] }, 1000, window), [])
  const blame = { spans: [{ span_id: 'a', causes: [{ cause: 'cpu', from: 1100, to: null, seconds: 0.2 }] }] }
  t.same(bands(blame, 1000, 300_000).get('a'), [{ cause: 'cpu', start: 100_000, duration: 200_000, seconds: 0.2 }])
})
