// Two traces side by side, by callers, service and name.

import { useMemo, useState } from 'preact/hooks'
import { hueOf } from '../colour.ts'
import { duration } from '../format.ts'
import { Card, Scroll, Service, Time } from '../parts.tsx'
import { change, link } from '../route.ts'
import { type ComparedRow, compared, difference, type Sum } from './compare.ts'
import type { Source } from './source.ts'
import { treeOf } from './tree.ts'

const MOST_ROWS = 500

export function Comparison({ a, b }: { readonly a: Source; readonly b: Source }) {
  const [of, by] = useState<'total' | 'self'>('total')
  const [changed, only] = useState(false)
  const sides = useMemo(() => [a, b].map(({ columns }) => ({ columns, tree: treeOf(columns) })), [a, b])
  const [first, second] = [sides[0]!, sides[1]!]
  const rows = useMemo(() => compared(first, second), [first, second])
  const longest = Math.max(1, first.tree.end, second.tree.end)
  const shown = rows.filter(row => !changed || !row.a || !row.b || Math.abs(difference(row, of)) > longest / 100)
  return (
    <>
      <header class="page-head">
        <h1>Two traces compared</h1>
        <span class="chips">
          <button type="button" aria-pressed={of === 'self'} onClick={() => by(of === 'self' ? 'total' : 'self')}>
            Own time only
          </button>
          <button type="button" aria-pressed={changed} onClick={() => only(!changed)}>
            Differences only
          </button>
          <button
            type="button"
            onClick={() => {
              location.hash = link(`/trace/${b.columns.traceId}`, { with: a.columns.traceId })
            }}
          >
            Swap
          </button>
        </span>
      </header>
      <div class="two">
        {[a, b].map(({ columns }, i) => (
          <Card key={i} title={i === 0 ? 'First' : 'Second'}>
            <p>
              <a href={link(`/trace/${columns.traceId}`, { file: (i === 0 ? a : b).live ? undefined : 1 })}>
                <bdi>{columns.names[columns.name[0]!] || columns.traceId}</bdi>
              </a>{' '}
              <b>{duration(sides[i]!.tree.end / 1e6)}</b>{' '}
              <small>
                {columns.spanId.length} spans, <Time ms={Number(BigInt(columns.startUnixNano) / 1_000_000n)} day />
              </small>
            </p>
          </Card>
        ))}
      </div>
      <Card
        title={of === 'total' ? 'Time of all spans of a kind' : 'Own time of all spans of a kind'}
        aside={shown.length < rows.length ? `${shown.length} of ${rows.length} rows` : `${rows.length} rows`}
      >
        <Scroll label="Comparison">
          <table class="compared">
            <thead>
              <tr>
                <th class="text" scope="col">
                  Span
                </th>
                <th scope="col">First</th>
                <th scope="col">Second</th>
                <th scope="col">Difference</th>
                <th class="text" scope="col">
                  <span class="unseen">as bars</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {shown.slice(0, MOST_ROWS).map((row, i) => (
                <Row key={i} row={row} of={of} longest={longest} />
              ))}
            </tbody>
          </table>
        </Scroll>
        {shown.length > MOST_ROWS && <p class="hint">The first {MOST_ROWS} rows are shown.</p>}
      </Card>
      <p>
        <button type="button" onClick={() => change({ with: undefined })}>
          Back to the first trace
        </button>
      </p>
    </>
  )
}

function Row({
  row,
  of,
  longest,
}: {
  readonly row: ComparedRow
  readonly of: 'total' | 'self'
  readonly longest: number
}) {
  const { service, name, depth, a, b } = row
  const more = difference(row, of)
  const sign = more > longest / 1000 ? '▲' : more < -longest / 1000 ? '▼' : ''
  return (
    <tr>
      <th class="text" scope="row" style={{ '--depth': Math.min(depth, 20) }}>
        {service !== '' && <Service name={service} />} <bdi>{name || '(no name)'}</bdi>
      </th>
      <td>{cell(a, of)}</td>
      <td>{cell(b, of)}</td>
      <td class={!a || !b ? 'only' : more > longest / 100 ? 'slower' : more < -longest / 100 ? 'faster' : ''}>
        {!a ? 'only second' : !b ? 'only first' : `${sign} ${more > 0 ? '+' : ''}${duration(more / 1e6)}`}
      </td>
      <td class="text pair" style={{ '--hue': hueOf(service) }}>
        {[a, b].map((sum, i) => (
          <i
            key={i}
            class={sum ? '' : 'no'}
            style={{ width: `${Math.min(100, ((sum?.[of] ?? 0) / longest) * 100)}%` }}
          />
        ))}
      </td>
    </tr>
  )
}

function cell(sum: Sum | undefined, of: 'total' | 'self') {
  if (!sum) return '–'
  return (
    <>
      {duration(sum[of] / 1e6)}
      {sum.spans > 1 && <small> {sum.spans}×</small>}
      {sum.errors > 0 && <small class="failed-text"> ✕ {sum.errors}</small>}
    </>
  )
}
