// Our engine beside a live Tempo (2.8), over generated traces and a few hundred generated queries: the same traces, the same
// spans, the same series. The differences that are known are each shown by a query of their own, so that they stay known.

import t, { type Test } from 'tap'
import { metrics } from '../../../traceql/metrics.ts'
import { prepare } from '../../../traceql/prepare.ts'
import { search } from '../../../traceql/search.ts'
import type { Static } from '../../../traceql/static.ts'
import { valueText } from '../../../traceql/text.ts'
import { encode, from, Room, type Sent } from '../room.ts'
import { Random } from './generate.ts'
import { absent } from './judges.ts'
import { Steps } from './paces.ts'
import { Tempo } from './tempo.ts'
import { filter, measurement, question, STRUCTURAL, traces } from './world.ts'

// The same in each run; SEED=n tries others.
const SEED = Number(process.env['SEED'] ?? 1)
const TRACES = 60
const STEP = 5
const NANOS = 1_000_000_000n

interface Json {
  readonly traces?: readonly {
    readonly traceID: string
    readonly spanSets: readonly {
      readonly matched?: number
      readonly spans: readonly { readonly spanID: string }[]
      readonly attributes?: readonly { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[]
    }[]
  }[]
  readonly series?: readonly {
    readonly labels: readonly { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[]
    readonly samples: readonly { readonly timestampMs: string; readonly value?: number }[]
  }[]
}

/** Whether lines of series are equal; Tempo adds up in another order, so the last digits may differ. */
function alike(ours: readonly string[], theirs: readonly string[]): boolean {
  const words = (lines: readonly string[]): string[] => lines.join('\n').split(/[ \n=]/)
  const [a, b] = [words(ours), words(theirs)]
  return a.length === b.length && a.every((word, i) => word === b[i] || near(Number(word), Number(b[i])))
}

function near(a: number, b: number): boolean {
  return Math.abs(a - b) <= 1e-9 * Math.max(Math.abs(a), Math.abs(b))
}

/** As JSON shows it. */
function shown(value: Static): string {
  return value.type === 'float' ? String(value.value) : valueText(value as never)
}

class Beside {
  readonly room = new Room(2 ** 24)
  readonly now = Math.floor(Date.now() / 1000)
  readonly #tempo: Tempo

  constructor(tempo: Tempo) {
    this.#tempo = tempo
  }

  async send(bytes: Buffer): Promise<void> {
    this.room.raw(bytes)
    await this.#tempo.send(bytes)
  }

  /** Each trace found with its sets of spans, in Tempo's answer; or its error. */
  async theirs(query: string): Promise<string[]> {
    const range = `start=${this.now - 600}&end=${this.now + 600}`
    const { status, text } = await this.#tempo.get(
      `/api/search?q=${encodeURIComponent(query)}&limit=1000&spss=100&${range}`,
    )
    if (status !== 200) return [`${status} ${text}`]
    return ((JSON.parse(text) as Json).traces ?? [])
      .map(({ traceID, spanSets }) => {
        const sets = spanSets.map(({ matched, spans, attributes = [] }) => {
          const labels = attributes.map(({ key, value }) => `${key}=${Object.values(value)[0]}`)
          return `${labels} ${matched}:${spans.map(({ spanID }) => spanID.padStart(16, '0')).sort()}`
        })
        return `${traceID.padStart(32, '0')} ${sets.sort().join(' | ')}`
      })
      .sort()
  }

  async ours(query: string): Promise<string[]> {
    const range = { from: this.now - 600, to: this.now + 600 }
    const { traces } = await search(await prepare(query), this.room.kept, new Steps(), {
      ...range,
      limit: 1000,
      spss: 100,
    })
    return traces
      .map(({ id, spansets }) => {
        const sets = spansets.map(({ matched, spans, attributes }) => {
          const labels = attributes.map(([key, value]) => `${key}=${shown(value)}`)
          return `${labels} ${matched}:${spans.map(each => each.id).sort()}`
        })
        return `${id} ${sets.sort().join(' | ')}`
      })
      .sort()
  }

  /** Tempo 2.8 names an interval by its beginning, Tempo 3 and we by its end, and we have one more at the beginning. */
  async theirSeries(query: string): Promise<string[]> {
    const range = `start=${this.now - 60}&end=${this.now + 30}&step=${STEP}&exemplars=0`
    const { status, text } = await this.#tempo.get(`/api/metrics/query_range?q=${encodeURIComponent(query)}&${range}`)
    if (status !== 200) return [`${status} ${text}`]
    return ((JSON.parse(text) as Json).series ?? [])
      .flatMap(({ labels, samples }) => {
        const names = labels.map(({ key, value }) => `${key}=${Object.values(value)[0]}`)
        return this.#line(
          names,
          samples.map(({ timestampMs, value = 0 }) => [Number(timestampMs), value]),
        )
      })
      .sort()
  }

  async ourSeries(query: string): Promise<string[]> {
    const [start, end] = [BigInt(this.now - 60) * NANOS, BigInt(this.now + 30) * NANOS]
    const limits = { from: start, to: end, step: BigInt(STEP) * NANOS, exemplars: 0 }
    const { series } = await metrics(await prepare(query), this.room.kept, new Steps(), limits)
    return series
      .flatMap(({ labels, samples }) => {
        const names = labels.map(([key, value]) => `${key}=${shown(value)}`)
        return this.#line(
          names,
          samples.map(({ ms, value }) => [ms - STEP * 1000, value]),
        )
      })
      .sort()
  }

  #line(names: readonly string[], samples: readonly (readonly [ms: number, value: number])[]): string[] {
    const inside = samples.filter(([ms]) => ms >= (this.now - 60) * 1000 && ms < (this.now + 25) * 1000)
    const shown = inside.map(([ms, value]) => `${ms / 1000 - this.now}=${value}`)
    return shown.length ? [`{${names}} ${shown.join(' ')}`] : []
  }
}

t.test('a live Tempo gives the same answers', { skip: absent.tempo, timeout: 110_000 }, async t => {
  await using tempo = await Tempo.start()
  const beside = new Beside(tempo)
  const random = new Random(SEED)
  await beside.send(encode(...traces(random, TRACES, beside.now - 40, 30)))
  await beside.send(encode(...special(beside.now - 20)))
  await tempo.until('searchable', async () => (await beside.theirs('{}')).length === TRACES + 3)
  const all = (await beside.ourSeries('{} | count_over_time()')).join()
  await tempo.until('counting', async () => (await beside.theirSeries('{} | count_over_time()')).join() === all)

  await t.test('searches find the same traces, the same spans and the same groups', async t => {
    let hits = 0
    for (let i = 0; i < 300; i++) {
      const query = question(random)
      const [ours, theirs] = [await beside.ours(query), await beside.theirs(query)]
      if (theirs.length) hits++
      if (ours.join('\n') !== theirs.join('\n')) t.same(ours, theirs, `seed ${SEED}: ${query}`)
    }
    t.ok(hits > 150, `${hits} queries find something`)
  })

  await t.test(
    'negated structural operators agree where both sides ask for something, and the left finds it',
    async t => {
      for (let i = 0; i < 60; ) {
        const [left, right] = [filter(random), filter(random)]
        if (right === '{}') continue
        i++
        const query = `${left} ${random.pick(STRUCTURAL.filter(each => each.startsWith('!')))} ${right}`
        const found = (await beside.ours(left)).map(each => each.slice(0, 32))
        const shared = (answer: string[]): string[] => answer.filter(each => found.includes(each.slice(0, 32)))
        const [ours, theirs] = [shared(await beside.ours(query)), shared(await beside.theirs(query))]
        if (ours.join('\n') !== theirs.join('\n')) t.same(ours, theirs, `seed ${SEED}: ${query}`)
      }
      t.pass()
    },
  )

  await t.test(
    'unions of descendants and ancestors find what Tempo finds, which leaves some pairs incomplete',
    async t => {
      const spans = (answer: string[]): string[] => answer.flatMap(each => each.match(/[0-9a-f]{16}(?=,|$)/g) ?? [])
      for (let i = 0; i < 40; i++) {
        const query = `${filter(random)} ${random.pick(['&>>', '&<<'])} ${filter(random)}`
        const [ours, theirs] = [await beside.ours(query), await beside.theirs(query)]
        t.same(
          ours.map(each => each.slice(0, 32)),
          theirs.map(each => each.slice(0, 32)),
          `seed ${SEED}: ${query}`,
        )
        const own = new Set(spans(ours))
        t.same(
          spans(theirs).filter(each => !own.has(each)),
          [],
          `seed ${SEED}: ${query}`,
        )
      }
    },
  )

  await t.test('metrics have the same series and samples', async t => {
    let filled = 0
    for (let i = 0; i < 200; i++) {
      const query = measurement(random)
      const [ours, theirs] = [await beside.ourSeries(query), await beside.theirSeries(query)]
      if (theirs.length) filled++
      if (!alike(ours, theirs)) t.same(ours, theirs, `seed ${SEED}: ${query}`)
    }
    t.ok(filled > 150, `${filled} queries have series`)
  })

  await t.test('the known differences are what they were', async t => await differences(t, beside))
})

const ORPHANS = `e${'2'.repeat(31)}`

/** Three traces for the differences. */
function special(start: number): ReturnType<typeof from>[] {
  const root = `e${'1'.repeat(31)}`
  const spans: Sent[] = [
    {
      trace: root,
      span: 'b000000000000001',
      name: 'special',
      start: start + 0.000137,
      attributes: { tags: ['x', 'y'], five: 5.5, zero: 0, one: 1 },
    },
    { trace: root, span: 'b000000000000002', parent: 'b000000000000001', name: 'special', start: start + 0.001137 },
  ]
  const parent = 'b00000000000000f'
  const orphans: Sent[] = [
    { trace: ORPHANS, span: 'b000000000000003', parent, name: 'orphan', start: start + 0.000137 },
    { trace: ORPHANS, span: 'b000000000000004', parent, name: 'alone', start: start + 0.001137 },
  ]
  return [
    from('orphans', ...orphans),
    from('special', ...spans),
    from('special', { ...spans[0]!, trace: '1', span: '1', name: 'short' }),
  ]
}

async function differences(t: Test, beside: Beside): Promise<void> {
  const count = (answer: string[]): number | string =>
    answer[0]?.startsWith('4') || answer[0]?.startsWith('5') ? 'refused' : answer.length
  const differs = async (query: string, ours: number, theirs: number | 'refused', why: string): Promise<void> => {
    t.same([count(await beside.ours(query)), count(await beside.theirs(query))], [ours, theirs], `${query}: ${why}`)
  }
  const only = 'resource.service.name = "special"'
  await differs(`{ ${only} && span.tags != "x" }`, 0, 2, 'we ask that all elements are unequal, as Tempo 3 does')
  await differs(`{ ${only} && span.five > 5 }`, 2, 0, "Tempo's block reader compares floats with floats only")
  await differs(`{ name = "special" && (span.none || true) }`, 1, 0, 'for us a missing attribute is not true, no more')
  await differs(
    '{ (name != "none" || kind = server) && -span.one < 0 }',
    2,
    'refused',
    'Tempo 2.8 fails on spans without the attribute',
  )
  await differs('{ !span.one }', 0, 'refused', 'Tempo 2.8 fails on what is neither true nor false')
  await differs(`{ name = "none" } !> { name = "special" }`, 1, 0, 'Tempo 2.8 finds nothing if the left side does')
  const orphans = (answer: string[]): string | undefined => answer.find(each => each.startsWith(ORPHANS))?.slice(34, 36)
  const negated = '{ name = "orphan" } !> {}'
  t.equal(
    orphans(await beside.ours(negated)),
    '2:',
    `${negated}: spans that no root leads to have no parent of that name`,
  )
  t.equal(orphans(await beside.theirs(negated)), '1:', 'Tempo leaves out those that no condition of the query is about')
  await differs('{ name = "special" && span.one = nil }', 1, 'refused', 'Tempo 3 has = nil')
  await differs('{ name = "special" && span:childCount = 1 }', 1, 'refused', 'Tempo 3 has span:childCount')
  await differs(
    `{ trace:id = "${'1'.padStart(32, '0')}" }`,
    1,
    0,
    'Tempo 2.8 knows ids without their leading zeros only',
  )
  await differs(`{ ${only} && span.one ^ 3 = 1 }`, 2, 0, 'Tempo swaps the sides of ^ between whole numbers')
}
