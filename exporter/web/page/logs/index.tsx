// The newest log records, as they come in: by severity, service and text, and from a line to its trace and span.

import './logs.css'
import { useEffect, useRef, useState } from 'preact/hooks'
import { ask, Refused } from '../ask.ts'
import { count } from '../format.ts'
import { Badge, Empty, Service, Time } from '../parts.tsx'
import { ReceiverLines } from '../receiver.tsx'
import { change, link, type Query, type Route } from '../route.ts'
import { missed, paused } from '../settings.ts'
import { useStore } from '../store.ts'
import { joined, type LogRecord, ordered, SEVERITIES, stateOf } from './records.ts'

interface Page {
  readonly records: readonly LogRecord[]
  readonly next?: number
  readonly kept: { readonly newest: number; readonly records: number; readonly bytes: number; readonly evicted: number }
}

const PAGE = 200
const EVERY = 1500
const FILTERS = ['severity', 'service', 'text', 'trace', 'span'] as const

export function Logs({ route: { query } }: { readonly route: Route }) {
  const filters = new URLSearchParams(FILTERS.flatMap(name => (query.get(name) ? [[name, query.get(name)!]] : [])))
  const tail = useTail(filters.toString())
  const { records, kept, error, older } = tail
  const services = [...new Set(records.map(each => each.service))].sort()
  const trace = query.get('trace')
  const set = (part: Query, replace = false): void => change(part, { replace })
  return (
    <>
      <header class="page-head">
        <h1>Logs</h1>
        {kept && (
          <small>
            {count(kept.records)} records in memory{kept.evicted > 0 && `, ${count(kept.evicted)} older ones left it`}
          </small>
        )}
      </header>
      <search class="card logfilter" aria-label="Filter">
        <div class="chips">
          {SEVERITIES.map(severity => (
            <button
              key={severity}
              type="button"
              aria-pressed={(query.get('severity') ?? '').toUpperCase() === severity}
              onClick={() =>
                set({
                  severity: query.get('severity')?.toUpperCase() === severity ? undefined : severity.toLowerCase(),
                })
              }
            >
              {severity === 'FATAL' ? 'Fatal' : `${severity.charAt(0)}${severity.slice(1).toLowerCase()} and above`}
            </button>
          ))}
        </div>
        <Words value={query.get('text') ?? ''} set={text => set({ text }, true)} />
        <label>
          <span class="unseen">Service</span>
          <select value={query.get('service') ?? ''} onChange={event => set({ service: event.currentTarget.value })}>
            <option value="">All services</option>
            {[...new Set([...services, ...(query.get('service') ? [query.get('service')!] : [])])].map(each => (
              <option key={each} value={each}>
                {each}
              </option>
            ))}
          </select>
        </label>
        {trace && (
          <p class="of-trace">
            Of{' '}
            <a href={link(`/trace/${encodeURIComponent(trace)}`, { span: query.get('span') ?? undefined })}>
              {query.get('span') ? 'one span of' : ''} trace <code>{trace.slice(0, 8)}…</code>
            </a>{' '}
            <button type="button" class="quiet" onClick={() => set({ trace: undefined, span: undefined })}>
              All traces
            </button>
          </p>
        )}
      </search>
      {error !== undefined && (
        <p class="trouble" role="alert">
          <Badge state="failed">Cannot show logs</Badge> <bdi>{error}</bdi>
        </p>
      )}
      {records.length > 0 && (
        <section class="card records" aria-label="Records, newest first">
          <ol>
            {ordered(records).map(each => (
              <Line key={each.number} record={each} trace={trace === null} />
            ))}
          </ol>
          {older && (
            <p class="further">
              <button type="button" onClick={older}>
                Older ones
              </button>
            </p>
          )}
        </section>
      )}
      {kept && records.length === 0 && error === undefined && (
        <None
          kept={kept.records}
          filtered={filters.size > 0}
          clear={() => set(Object.fromEntries(FILTERS.map(each => [each, undefined])))}
        />
      )}
    </>
  )
}

function Line({ record, trace }: { readonly record: LogRecord; readonly trace: boolean }) {
  const { severity, service, body, time, traceId, spanId } = record
  const [open, unfold] = useState(false)
  const long = body.length > 300 || body.split('\n').length > 3
  return (
    <li class={severity.toLowerCase()}>
      <span class="when">{time === undefined ? <small>no time</small> : <Time ms={Date.parse(time)} millis />}</span>
      <span class={`severity ${stateOf(severity)}`}>{severity === 'UNSPECIFIED' ? '–' : severity}</span>
      <Service name={service} />
      <span class={open ? 'body unfolded' : 'body'}>
        <bdi>{body}</bdi>
        {long && (
          <button type="button" class="quiet" aria-expanded={open} onClick={() => unfold(!open)}>
            {open ? 'less' : 'all of it'}
          </button>
        )}
      </span>
      {trace && traceId !== undefined ? (
        <a href={link(`/trace/${traceId}`, { span: spanId })}>
          trace<span class="unseen"> {traceId}</span>
        </a>
      ) : (
        <span />
      )}
    </li>
  )
}

function Words({ value, set }: { readonly value: string; set(text: string): void }) {
  const [typed, type] = useState(value)
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined)
  useEffect(() => type(value), [value])
  useEffect(() => () => clearTimeout(timer.current), [])
  useEffect(() => {
    const focus = (event: KeyboardEvent): void => {
      const target = event.target as HTMLElement
      if (event.key !== '/' || event.ctrlKey || event.metaKey || target.closest('input, select, textarea')) return
      event.preventDefault()
      field.current?.focus()
    }
    addEventListener('keydown', focus)
    return () => removeEventListener('keydown', focus)
  }, [])
  const field = useRef<HTMLInputElement>(null)
  return (
    <label class="find">
      <span class="unseen">Text in the record</span>
      <input
        ref={field}
        type="search"
        value={typed}
        placeholder="Text in the record"
        onInput={event => {
          const next = event.currentTarget.value
          type(next)
          clearTimeout(timer.current)
          timer.current = setTimeout(() => set(next), 300)
        }}
      />
    </label>
  )
}

function None({ kept, filtered, clear }: { readonly kept: number; readonly filtered: boolean; clear(): void }) {
  if (kept > 0 || filtered)
    return (
      <Empty title="No record matches">
        <p>{count(kept)} records are in memory.</p>
        {filtered && (
          <button type="button" onClick={clear}>
            Show all of them
          </button>
        )}
      </Empty>
    )
  return (
    <Empty title="No log records yet">
      <p>Let the application send its logs over OTLP, beside its spans:</p>
      <ReceiverLines more={['OTEL_LOGS_EXPORTER=otlp']} />
      <p>Records that have a trace id then stand on the bars of their spans, too.</p>
    </Empty>
  )
}

interface Tail {
  readonly records: readonly LogRecord[]
  readonly kept: Page['kept'] | undefined
  readonly error: string | undefined
  readonly older: (() => void) | undefined
}

/** The records that match, kept up to date by asking for those behind the newest one. A hidden tab asks for nothing. */
function useTail(filters: string): Tail {
  const [state, set] = useState<{
    filters?: string
    records: readonly LogRecord[]
    shown: number
    next?: number | undefined
    kept?: Page['kept']
    error?: string
  }>({
    records: [],
    shown: 0,
  })
  const stopped = useStore(paused)
  // Records that came in while the page is paused wait here.
  const waiting = useRef<readonly LogRecord[]>([])
  const pausedNow = useRef(stopped)
  pausedNow.current = stopped
  useEffect(() => {
    if (stopped) return
    const arrived = waiting.current
    waiting.current = []
    if (arrived.length > 0) set(before => ({ ...before, records: joined(arrived, before.records) }))
  }, [stopped])
  useEffect(() => {
    const over = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    let newest: number | undefined
    let failures = 0
    let underway = false
    waiting.current = []
    const next = async (): Promise<void> => {
      clearTimeout(timer)
      if (underway || over.signal.aborted || document.hidden) return
      underway = true
      try {
        const after = newest === undefined ? '' : `&after=${newest}`
        const page = await ask<Page>(`/api/logs?limit=${PAGE}${after}${filters && `&${filters}`}`, over.signal)
        failures = 0
        const first = newest === undefined
        // After a start of the sidecar the numbers begin anew.
        if (newest !== undefined && page.kept.newest < newest) newest = undefined
        else {
          newest = page.kept.newest
          if (first) set({ filters, records: page.records, shown: 0, next: page.next, kept: page.kept })
          else if (pausedNow.current) {
            waiting.current = joined(page.records, waiting.current)
            missed.set(waiting.current.length > 0 ? `${waiting.current.length} new` : undefined)
          } else
            set(({ error: _, ...before }) => ({
              ...before,
              records: joined(page.records, before.records),
              kept: page.kept,
            }))
        }
      } catch (error) {
        if (over.signal.aborted) return
        failures++
        const text = error instanceof Refused ? error.message : 'The sidecar does not answer. This page goes on asking.'
        set(before => ({ ...before, filters, error: text }))
      } finally {
        underway = false
      }
      if (!over.signal.aborted) timer = setTimeout(next, Math.min(EVERY * 2 ** failures, 30_000))
    }
    const visible = (): void => void (document.hidden ? clearTimeout(timer) : next())
    document.addEventListener('visibilitychange', visible)
    void next()
    return () => {
      over.abort(new Error('nobody looks at this any more'))
      clearTimeout(timer)
      document.removeEventListener('visibilitychange', visible)
    }
  }, [filters])
  const { next } = state
  const older = async (): Promise<void> => {
    const page = await ask<Page>(`/api/logs?limit=${PAGE}&before=${next}${filters && `&${filters}`}`)
    set(before =>
      before.filters === filters
        ? { ...before, records: [...before.records, ...page.records], next: page.next }
        : before,
    )
  }
  const here = state.filters === filters
  return {
    records: here ? state.records : [],
    kept: here ? state.kept : undefined,
    error: here ? state.error : undefined,
    older: here && next !== undefined ? () => void older().catch(() => {}) : undefined,
  }
}
