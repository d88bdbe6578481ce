// Every family that is on /metrics: searchable, with its series as a chart over the last minutes.

import './metrics.css'
import { useMemo } from 'preact/hooks'
import { useAsk } from '../ask.ts'
import { Chart, type Line } from '../chart.tsx'
import { age, count, figure, type Unit } from '../format.ts'
import { Badge, Card, Empty, Scroll, Trouble } from '../parts.tsx'
import { change, link, type Route } from '../route.ts'

interface Family {
  readonly name: string
  readonly type: string
  readonly help: string
  readonly series: number
}

interface FamilyAnswer {
  readonly family: Family
  readonly stepSeconds: number
  readonly times: readonly number[]
  readonly seriesInAll: number
  readonly series: readonly {
    readonly labels: string
    readonly suffix: string
    readonly values: readonly (number | null)[]
  }[]
}

/** Lines in one chart; more cannot be told apart. */
const LINES = 10
/** Families in the list; the search finds the others. */
const LISTED = 400

export function Metrics({ route }: { readonly route: Route }) {
  const answer = useAsk<{ readonly families: readonly Family[] }>('/api/metrics', { every: 30_000 })
  const chosen = route.query.get('family') ?? ''
  const find = (route.query.get('find') ?? '').toLowerCase()
  const words = find.split(/\s+/).filter(Boolean)
  const all = answer.data?.families ?? []
  const families = all
    .filter(({ name, help }) => words.every(word => `${name} ${help}`.toLowerCase().includes(word)))
    .sort((a, b) => place(a) - place(b) || a.name.localeCompare(b.name))
  return (
    <>
      <div class="page-head">
        <h1>Metrics</h1>
        <small>
          {answer.data && `${count(all.length)} families on `}
          <a href="/metrics">/metrics</a>
        </small>
      </div>
      <Trouble answer={answer} what="the metrics" />
      {answer.data && (
        <div class="metrics">
          <section class="card list" aria-label="Families">
            <search>
              <label>
                <span class="unseen">Search families</span>
                <input
                  type="search"
                  placeholder="Search names and help"
                  value={route.query.get('find') ?? ''}
                  onInput={event => change({ find: event.currentTarget.value }, { replace: true })}
                />
              </label>
            </search>
            <ul tabIndex={-1}>
              {families.slice(0, LISTED).map(({ name, type, series }) => (
                <li key={name}>
                  <a
                    href={link('/metrics', { family: name, find: route.query.get('find') ?? '' })}
                    aria-current={name === chosen ? 'true' : undefined}
                  >
                    <bdi>{name}</bdi>
                    <small>
                      {type}, {count(series)} series
                    </small>
                  </a>
                </li>
              ))}
            </ul>
            {families.length > LISTED && (
              <p class="note">and {count(families.length - LISTED)} more: search for them</p>
            )}
            {families.length === 0 && <p class="note">No family matches.</p>}
          </section>
          {chosen === '' ? (
            <Empty title="Choose a family">
              <p>A family is charted from the moment that somebody looks at it, and kept for 15 minutes.</p>
            </Empty>
          ) : (
            <Chosen key={chosen} name={chosen} />
          )}
        </div>
      )}
    </>
  )
}

/** The application's own come first, the sidecar's last. */
function place({ name }: Family): number {
  return name.startsWith('app_') ? 0 : name.startsWith('traces_') ? 1 : name.startsWith('pillion_') ? 3 : 2
}

function Chosen({ name }: { readonly name: string }) {
  const answer = useAsk<FamilyAnswer>(`/api/metrics?${new URLSearchParams({ family: name })}`, { every: 5000 })
  const { data } = answer
  const lines = useMemo(() => (data ? linesOf(data) : []), [data])
  return (
    <div class="family">
      <Trouble answer={answer} what={name} />
      {data && (
        <Card title={data.family.name} aside={data.family.type}>
          <p class="help">
            <bdi>{data.family.help}</bdi>
          </p>
          {data.times.length < 2 ? (
            <p class="note" role="status">
              The chart begins with the second look, in {age(data.stepSeconds)}.
            </p>
          ) : (
            <Chart
              label={data.family.name}
              times={data.times}
              lines={lines.slice(0, LINES)}
              unit={unitOf(data.family)}
              height={260}
            />
          )}
          {lines.length > LINES && (
            <p class="note">
              The {LINES} largest of {count(lines.length)} series are drawn.
            </p>
          )}
          <Values data={data} />
        </Card>
      )}
    </div>
  )
}

/** Counters, and the counts of histograms, are drawn as what they grow by in a second. */
function linesOf({ family, series, times }: FamilyAnswer): readonly Line[] {
  const grows = family.type === 'counter' || family.type === 'histogram' || family.type === 'summary'
  const drawn = series.filter(({ suffix }) => suffix === '' || suffix === '_count')
  const lines = drawn.map(({ labels, values }) => ({
    label: labels === '' ? 'value' : labels.slice(1, -1),
    values: grows ? rates(values, times) : values,
  }))
  const last = ({ values }: (typeof lines)[number]): number => values.findLast(value => value !== null) ?? -1
  return lines.sort((a, b) => last(b) - last(a)).map((line, i) => ({ ...line, colour: `var(--hue-${i % LINES})` }))
}

function rates(values: readonly (number | null)[], times: readonly number[]): readonly (number | null)[] {
  return values.map((value, i) => {
    const before = values[i - 1]
    if (i === 0 || value === null || before === null || before === undefined || value < before) return null
    return (value - before) / (times[i]! - times[i - 1]!)
  })
}

function unitOf({ name, type }: Family): Unit {
  if (type === 'histogram' || type === 'summary') return 'perSecond'
  if (type === 'counter') return /_seconds_total$/.test(name) ? 'cores' : 'perSecond'
  if (/_bytes$/.test(name)) return 'bytes'
  if (/(?<!timestamp|start_time)_seconds$/.test(name)) return 'seconds'
  return /_ratio$/.test(name) ? 'ratio' : 'count'
}

function Values({ data: { family, series, seriesInAll } }: { readonly data: FamilyAnswer }) {
  const grouped = new Map<string, { value?: number | null; sum?: number | null }>()
  for (const { labels, suffix, values } of series) {
    const row = grouped.get(labels) ?? {}
    grouped.set(
      labels,
      suffix === '_sum' ? { ...row, sum: values.at(-1) ?? null } : { ...row, value: values.at(-1) ?? null },
    )
  }
  const histogram = family.type === 'histogram' || family.type === 'summary'
  const unit: Unit = family.type === 'counter' || histogram ? 'count' : unitOf(family)
  return (
    <>
      <Scroll label="Table of values" class="table values">
        <table>
          <thead>
            <tr>
              <th class="text" scope="col">
                Labels
              </th>
              <th scope="col">{histogram ? 'Count' : 'Now'}</th>
              {histogram && <th scope="col">Mean</th>}
            </tr>
          </thead>
          <tbody>
            {[...grouped].map(([labels, { value, sum }]) => (
              <tr key={labels}>
                <th class="text" scope="row">
                  <code>{labels === '' ? '(no labels)' : labels.slice(1, -1)}</code>
                </th>
                <td title={value === null || value === undefined ? '' : String(value)}>
                  {value === null || value === undefined ? <Badge state="unknown">absent</Badge> : figure(value, unit)}
                </td>
                {histogram && (
                  <td>
                    {value && sum !== undefined && sum !== null
                      ? figure(sum / value, /_seconds$|latency$/.test(family.name) ? 'seconds' : 'count')
                      : '–'}
                  </td>
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      {seriesInAll > grouped.size && (
        <p class="note">
          {count(grouped.size)} of {count(seriesInAll)} series are kept.
        </p>
      )}
    </>
  )
}
