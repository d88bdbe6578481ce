// The operations of each service: how often, how long, how many fail, and the traces behind each bar of the histogram.

import './operations.css'
import { Fragment } from 'preact'
import { useAsk } from '../ask.ts'
import { count, duration, percent, rate } from '../format.ts'
import { useExample } from '../found.ts'
import { Card, Empty, Scroll, Service, Time, Trouble } from '../parts.tsx'
import { change, link, type Route } from '../route.ts'
import { SortHead, sorted, sortingOf } from '../sort.tsx'
import { Sparkline } from '../sparkline.tsx'

interface Operation {
  readonly service: string
  readonly name: string
  readonly kind: string
  readonly calls: number
  readonly errors: number
  readonly perSecond: number
  readonly p50?: number
  readonly p95?: number
  readonly p99?: number
  readonly buckets: readonly number[]
  readonly rates: readonly number[]
  readonly query: string
}

interface OperationsAnswer {
  readonly windowSeconds: number
  readonly bounds: readonly number[]
  readonly leftOut: number
  readonly operations: readonly Operation[]
}

const WINDOWS = [
  ['60', 'last minute'],
  ['300', 'last 5 minutes'],
  ['900', 'last 15 minutes'],
] as const
const KINDS = ['server', 'consumer', 'client', 'producer', 'internal'] as const

export function Operations({ route }: { readonly route: Route }) {
  const window = WINDOWS.find(([value]) => value === route.query.get('window'))?.[0] ?? '300'
  const answer = useAsk<OperationsAnswer>(`/api/operations?window=${window}`, { every: 2000 })
  const { data } = answer
  return (
    <>
      <div class="page-head">
        <h1>Operations</h1>
        <small>by service and operation, from the spans that came in</small>
      </div>
      {data && <Filters route={route} data={data} window={window} />}
      <Trouble answer={answer} what="the operations" />
      {data && <Table route={route} data={data} />}
    </>
  )
}

function Filters({
  route,
  data,
  window,
}: {
  readonly route: Route
  readonly data: OperationsAnswer
  readonly window: string
}) {
  const services = [...new Set(data.operations.map(({ service }) => service))].sort()
  const service = route.query.get('service') ?? ''
  const kind = route.query.get('kind') ?? ''
  return (
    <search class="filters">
      <label>
        <span class="unseen">Filter by name</span>
        <input
          type="search"
          placeholder="Filter by name"
          value={route.query.get('find') ?? ''}
          onInput={event => change({ find: event.currentTarget.value }, { replace: true })}
        />
      </label>
      <label>
        <span class="unseen">Service</span>
        <select value={service} onChange={event => change({ service: event.currentTarget.value })}>
          <option value="">all services</option>
          {[...new Set([...services, ...(service ? [service] : [])])].map(name => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <label>
        <span class="unseen">Kind</span>
        <select value={kind} onChange={event => change({ kind: event.currentTarget.value })}>
          <option value="">requests (server, consumer)</option>
          <option value="all">all kinds</option>
          {KINDS.map(name => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <label>
        <span class="unseen">Time</span>
        <select value={window} onChange={event => change({ window: event.currentTarget.value })}>
          {WINDOWS.map(([value, text]) => (
            <option key={value} value={value}>
              {text}
            </option>
          ))}
        </select>
      </label>
      <button
        type="button"
        aria-pressed={route.query.get('failing') === '1'}
        onClick={() => change({ failing: route.query.get('failing') === '1' ? '' : '1' })}
      >
        Failing only
      </button>
    </search>
  )
}

function keyOf({ service, name, kind }: Operation): string {
  return `${service}\n${name}\n${kind}`
}

function shown({ operations }: OperationsAnswer, { query }: Route): readonly Operation[] {
  const find = (query.get('find') ?? '').toLowerCase()
  const service = query.get('service') ?? ''
  const kind = query.get('kind') ?? ''
  const served = operations.some(each => each.kind === 'server' || each.kind === 'consumer')
  return operations.filter(
    each =>
      (service === '' || each.service === service) &&
      (kind === 'all' ||
        each.kind === kind ||
        (kind === '' && (!served || each.kind === 'server' || each.kind === 'consumer'))) &&
      (query.get('failing') !== '1' || each.errors > 0) &&
      (find === '' || `${each.service} ${each.name}`.toLowerCase().includes(find)),
  )
}

function sortValue(row: Operation, by: string): string | number {
  switch (by) {
    case 'service':
      return row.service
    case 'name':
      return row.name
    case 'errors':
      return row.calls === 0 ? 0 : row.errors / row.calls
    case 'p50':
      return row.p50 ?? -1
    case 'p95':
      return row.p95 ?? -1
    case 'p99':
      return row.p99 ?? -1
    default:
      return row.perSecond
  }
}

function Table({ route, data }: { readonly route: Route; readonly data: OperationsAnswer }) {
  const sorting = sortingOf(route, '-rate')
  const rows = sorted(shown(data, route), sorting, sortValue)
  const open = route.query.get('open') ?? ''
  if (data.operations.length === 0)
    return (
      <Empty title="No operations yet">
        <p>
          They come from spans, and are kept for 15 minutes while this page is open.{' '}
          <a href="#/overview">The overview</a> says how to send spans.
        </p>
      </Empty>
    )
  if (rows.length === 0)
    return (
      <Empty title="No operation matches">
        <a href="#/operations">Show all of them</a>
      </Empty>
    )
  return (
    <Card
      title={`${count(rows.length)} operations`}
      aside={data.leftOut > 0 && `${count(data.leftOut)} label sets are beyond the limit of this page`}
    >
      <Scroll label="Table of operations">
        <table class="operations">
          <thead>
            <tr>
              <SortHead by="service" sorting={sorting} text>
                Service
              </SortHead>
              <SortHead by="name" sorting={sorting} text>
                Operation
              </SortHead>
              <SortHead by="rate" sorting={sorting}>
                Rate
              </SortHead>
              <th scope="col">Rate over time</th>
              <SortHead by="errors" sorting={sorting}>
                Errors
              </SortHead>
              <SortHead by="p50" sorting={sorting}>
                p50
              </SortHead>
              <SortHead by="p95" sorting={sorting}>
                p95
              </SortHead>
              <SortHead by="p99" sorting={sorting}>
                p99
              </SortHead>
            </tr>
          </thead>
          <tbody>
            {rows.map(row => {
              const key = keyOf(row)
              const expanded = key === open
              return (
                <Fragment key={key}>
                  <tr class={expanded ? 'open' : ''}>
                    <td class="text">
                      <Service name={row.service} />
                    </td>
                    <th scope="row" class="text name">
                      <button
                        type="button"
                        class="quiet"
                        aria-expanded={expanded}
                        onClick={() => change({ open: expanded ? '' : key })}
                      >
                        <span aria-hidden="true">{expanded ? '▾' : '▸'}</span> <bdi>{row.name}</bdi>
                      </button>
                      {row.kind !== 'server' && <small> {row.kind}</small>}
                    </th>
                    <td>{rate(row.perSecond)}</td>
                    <td>
                      <Sparkline values={row.rates} />
                    </td>
                    <td class={row.errors > 0 ? 'failed-text' : ''}>
                      {percent(row.calls === 0 ? 0 : row.errors / row.calls)}
                    </td>
                    <td>{duration(row.p50)}</td>
                    <td>{duration(row.p95)}</td>
                    <td>{duration(row.p99)}</td>
                  </tr>
                  {expanded && (
                    <tr class="detail">
                      <td colSpan={8} class="text">
                        <Detail row={row} bounds={data.bounds} />
                      </td>
                    </tr>
                  )}
                </Fragment>
              )
            })}
          </tbody>
        </table>
      </Scroll>
    </Card>
  )
}

/** The query of an operation with a further condition. */
function narrowed(query: string, more: string): string {
  return `${query.slice(0, query.lastIndexOf('}')).trimEnd()} && ${more} }`
}

function Detail({ row, bounds }: { readonly row: Operation; readonly bounds: readonly number[] }) {
  const failing = useExample(row.errors > 0 ? narrowed(row.query, 'status = error') : undefined, 'newest')
  const slowest = useExample(narrowed(row.query, `duration >= ${nanos(lower(row, bounds))}`), 'slowest')
  return (
    <div class="operation-detail">
      <Histogram row={row} bounds={bounds} />
      <dl>
        <dt>Requests</dt>
        <dd>
          {count(row.calls)}, {count(row.errors)} failed
        </dd>
        <dt>Newest failing trace</dt>
        <dd>
          {failing ? (
            <a href={failing.href}>
              at <Time ms={failing.ms} />, {duration(failing.seconds)}
            </a>
          ) : (
            'none is kept'
          )}
        </dd>
        <dt>Slowest trace</dt>
        <dd>
          {slowest ? (
            <a href={slowest.href}>
              {duration(slowest.seconds)}, at <Time ms={slowest.ms} />
            </a>
          ) : (
            'none is kept'
          )}
        </dd>
        <dt>All traces</dt>
        <dd>
          <a href={link('/traces', { q: row.query })}>search</a>
        </dd>
      </dl>
    </div>
  )
}

/** The lower bound of the highest bucket that holds anything: the slowest request lies above it. */
function lower({ buckets }: Operation, bounds: readonly number[]): number {
  const last = buckets.findLastIndex(each => each > 0)
  return last <= 0 ? 0 : (bounds[last - 1] ?? 0)
}

function nanos(seconds: number): string {
  return `${Math.round(seconds * 1e9)}ns`
}

function Histogram({ row, bounds }: { readonly row: Operation; readonly bounds: readonly number[] }) {
  const most = Math.max(...row.buckets, 1)
  const used = row.buckets.map((value, i) => (value > 0 ? i : -1)).filter(i => i >= 0)
  const [first = 0, last = 0] = [
    Math.max(0, (used[0] ?? 0) - 1),
    Math.min(row.buckets.length - 1, (used.at(-1) ?? 0) + 1),
  ]
  return (
    <figure class="histogram">
      <figcaption>How long requests took; a bar leads to its traces</figcaption>
      <ul>
        {row.buckets.slice(first, last + 1).map((value, i) => {
          const bucket = first + i
          const [from, to] = [bucket === 0 ? 0 : bounds[bucket - 1], bounds[bucket]]
          const range = to === undefined ? `over ${duration(from)}` : `up to ${duration(to)}`
          const conditions = [
            `duration > ${nanos(from ?? 0)}`,
            ...(to === undefined ? [] : [`duration <= ${nanos(to)}`]),
          ]
          const bar = <i style={{ height: `${(value / most) * 100}%` }} aria-hidden="true" />
          return (
            <li key={bucket}>
              <b>{value > 0 ? count(value) : ''}</b>
              {value > 0 ? (
                <a
                  class="bar"
                  href={link('/traces', { q: narrowed(row.query, conditions.join(' && ')) })}
                  aria-label={`${count(value)} requests, ${from ? `over ${duration(from)}, ` : ''}${range}: show traces`}
                >
                  {bar}
                </a>
              ) : (
                <span class="bar">{bar}</span>
              )}
              <small>{to === undefined ? `> ${duration(from)}` : `≤ ${duration(to)}`}</small>
            </li>
          )
        })}
      </ul>
    </figure>
  )
}
