// Traces: the list with its search, one trace, and two of them side by side.

import './traces.css'
import { useEffect, useMemo, useState } from 'preact/hooks'
import type { TraceColumns } from '../../../../telemetry/trace-columns.ts'
import { ask, Refused, useAsk } from '../ask.ts'
import { Card, Empty, Trouble } from '../parts.tsx'
import { change, link, type Route } from '../route.ts'
import { missed, paused } from '../settings.ts'
import { useStore } from '../store.ts'
import { Comparison } from './comparison.tsx'
import { Dots } from './dots.tsx'
import { DropZone } from './drop.tsx'
import { type Listed, TraceTable } from './list.tsx'
import { Search } from './search.tsx'
import { liveSource, localSource, opened, type Source } from './source.ts'
import { StartHere } from './start.tsx'
import { Waterfall } from './waterfall.tsx'

interface List {
  readonly traces: readonly Listed[]
  readonly full: boolean
  readonly probes: number
  readonly partial?: string
  readonly kept: { readonly spans: number; readonly since: number | null }
}

const LIMIT = 100
const MOST = 1000

export function Traces({ route: { query } }: { readonly route: Route }) {
  const asked = new URLSearchParams()
  const q = query.get('q') ?? ''
  const limit = Math.min(MOST, Math.max(1, Number(query.get('limit')) || LIMIT))
  if (q !== '') asked.set('q', q)
  asked.set('limit', String(limit))
  if (query.get('probes') === 'include') asked.set('probes', 'include')
  // Milliseconds in the address, seconds for the sidecar.
  for (const [name, parameter] of [
    ['from', 'start'],
    ['to', 'end'],
  ] as const) {
    const ms = Number(query.get(name))
    if (ms > 0) asked.set(parameter, String(ms / 1000))
  }
  const answer = useAsk<List>(`/api/traces?${asked}`, { every: 2000 })
  const { data, newest } = answer
  const stopped = useStore(paused)
  const behind = useMemo(() => {
    if (!stopped || !data || !newest || data === newest) return 0
    const known = new Set(data.traces.map(({ traceId }) => traceId))
    return newest.traces.filter(({ traceId }) => !known.has(traceId)).length
  }, [stopped, data, newest])
  useEffect(() => {
    if (stopped) missed.set(behind > 0 ? `${behind} new` : undefined)
  }, [stopped, behind])
  // A query that is wrong is told where it was written, not here.
  const wrong = answer.error instanceof Refused && answer.error.status === 400 ? answer.error.message : undefined
  const files = useStore(opened)
  const traces = wrong === undefined ? (data?.traces ?? []) : []
  const searched = q !== '' || query.has('from') || query.has('to')
  return (
    <DropZone>
      <header class="page-head">
        <h1>Traces</h1>
        <DropZone.Button />
      </header>
      <Search q={q} probes={query.get('probes') === 'include'} left={data?.probes ?? 0} traces={traces} wrong={wrong} />
      {files.length > 0 && (
        <Card title="From files, in this tab only">
          <ul class="files">
            {files.map(({ columns }) => (
              <li key={columns.traceId}>
                <a href={link(`/trace/${columns.traceId}`, { file: 1 })}>
                  {columns.names[columns.name[0]!] || columns.traceId}
                </a>{' '}
                <small>
                  {columns.spanId.length} spans, <code>{columns.traceId}</code>
                </small>
              </li>
            ))}
          </ul>
        </Card>
      )}
      {wrong === undefined && <Trouble answer={answer} what="traces" />}
      {traces.length > 0 && (
        <Card
          title={searched ? 'Found' : 'Newest traces'}
          aside={`${traces.length}${data?.full ? ', there may be more' : ''}`}
        >
          <Dots traces={traces} />
          <TraceTable traces={traces} />
          {data?.full && limit < MOST && (
            <p class="further">
              <button type="button" onClick={() => change({ limit: Math.min(MOST, limit * 3) })}>
                Show more
              </button>
            </p>
          )}
        </Card>
      )}
      {data?.partial !== undefined && <p class="notice">{data.partial}</p>}
      {data && wrong === undefined && traces.length === 0 && (
        <StartHere kept={data.kept.spans} since={data.kept.since} searched={searched} probes={data.probes} />
      )}
    </DropZone>
  )
}

/** One trace, from the sidecar or from a file. */
export function Trace({ route }: { readonly route: Route }) {
  const id = (route.pieces[1] ?? '').toLowerCase()
  const other = route.query.get('with')
  const first = useTrace(id, route.query.has('file'))
  const second = useTrace(other ?? undefined, route.query.has('withfile'))
  const both = other !== null
  return (
    <DropZone>
      {first.trouble ?? (both && second.trouble)}
      {first.source && !both && (
        <Waterfall key={id} source={first.source} route={route} {...(first.again && { again: first.again })} />
      )}
      {first.source && both && second.source && <Comparison a={first.source} b={second.source} />}
    </DropZone>
  )
}

interface Got {
  readonly source?: Source
  readonly again?: () => void
  readonly trouble?: preact.ComponentChild
}

function useTrace(id: string | undefined, file: boolean): Got {
  const files = useStore(opened)
  const [got, set] = useState<{ id?: string; columns?: TraceColumns; error?: Error; turn: number }>({ turn: 0 })
  const local = file ? files.find(({ columns }) => columns.traceId === id) : undefined
  const { turn } = got
  useEffect(() => {
    if (id === undefined || file) return
    const over = new AbortController()
    ask<TraceColumns>(`/api/traces/${encodeURIComponent(id)}`, over.signal).then(
      columns => set(before => ({ ...before, id, columns })),
      error => over.signal.aborted || set(before => ({ turn: before.turn, id, error: error as Error })),
    )
    return () => over.abort()
  }, [id, file, turn])
  const columns = got.id === id ? got.columns : undefined
  const source = useMemo(
    () => (local ? localSource(local) : columns ? liveSource(columns) : undefined),
    [local, columns],
  )
  const again = (): void => set(before => ({ ...before, turn: before.turn + 1 }))
  if (source) return local ? { source } : { source, again }
  if (id === undefined) return {}
  if (file)
    return {
      trouble: (
        <Nothing title="This trace came from a file">
          <p>The tab that read it has been closed or loaded again. Drop the file onto this page to see it once more.</p>
        </Nothing>
      ),
    }
  if (got.id !== id || !got.error)
    return {
      trouble: (
        <p class="waiting" role="status">
          Asking for the trace …
        </p>
      ),
    }
  const message = got.error instanceof Refused ? got.error.message : 'The sidecar does not answer.'
  return {
    trouble: (
      <Nothing title="This trace is not here">
        <p role="alert">
          <bdi>{message}</bdi>
        </p>
        <p>
          <button type="button" onClick={again}>
            Ask again
          </button>{' '}
          <a href="#/traces">All traces</a>
        </p>
      </Nothing>
    ),
  }
}

function Nothing({ title, children }: { readonly title: string; readonly children: preact.ComponentChildren }) {
  return (
    <>
      <h1>Trace</h1>
      <Empty title={title}>{children}</Empty>
    </>
  )
}
