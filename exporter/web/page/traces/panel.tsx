// Beside the waterfall: all that the selected span has, or what each service has of the trace.

import { useEffect, useMemo, useState } from 'preact/hooks'
import type { TraceColumns } from '../../../../telemetry/trace-columns.ts'
import { count, duration, percent } from '../format.ts'
import type { LogRecord } from '../logs/records.ts'
import { Badge, Service, Time } from '../parts.tsx'
import { link } from '../route.ts'
import type { Detail, DetailEvent, Pair } from './detail.ts'
import { EMPTY, queryOf } from './form.ts'
import type { CriticalPath } from './path.ts'
import { serviceSums } from './services.ts'
import type { Source } from './source.ts'
import { type Band, causeText, totals } from './strip.ts'
import type { Tree } from './tree.ts'

const KINDS = ['', 'internal', 'server', 'client', 'producer', 'consumer']
const MOST_CHILDREN = 8
/** A longer value is cut until somebody asks for all of it. */
const LONG = 400

interface Props {
  readonly source: Source
  readonly tree: Tree
  readonly path: CriticalPath
  readonly span: number
  readonly logs: readonly LogRecord[]
  readonly bands: readonly Band[]
  select(node: number): void
  close(): void
}

export function SpanPanel({ source, tree, path, span, logs, bands, select, close }: Props) {
  const { columns } = source
  const [found, show] = useState<{ span: number; detail?: Detail; error?: string }>({ span })
  useEffect(() => {
    const over = new AbortController()
    // Arrow keys go through many spans: only one that is stayed at is asked for.
    const timer = setTimeout(
      () =>
        source.detail(span, over.signal).then(
          detail => show({ span, detail }),
          error => over.signal.aborted || show({ span, error: (error as Error).message }),
        ),
      source.live ? 80 : 0,
    )
    return () => {
      clearTimeout(timer)
      over.abort()
    }
  }, [source, span])
  const { detail, error } = found.span === span ? found : {}
  const origin = Number(BigInt(columns.startUnixNano) / 1000n) / 1000
  const name = columns.names[columns.name[span]!]!
  const service = columns.services[columns.service[span]!]!
  const failed = columns.status[span] === 2
  const start = tree.start[span]!
  return (
    <aside class="panel card" aria-label="The selected span">
      <header>
        <h2>
          <bdi>{name === '' ? '(no name)' : name}</bdi>
        </h2>
        <button type="button" class="quiet" aria-label="Close the panel" onClick={close}>
          ✕
        </button>
      </header>
      <p class="where">
        <Service name={service} /> <small>{KINDS[columns.kind[span]!] ?? ''}</small>
        {failed && <Badge state="failed">error</Badge>}
      </p>
      {detail?.statusMessage && (
        <p class="said">
          <bdi>{detail.statusMessage}</bdi>
        </p>
      )}
      <dl class="times">
        <Term name="begins">
          <Time ms={origin + start / 1000} millis /> <small>{duration(start / 1e6)} after the first span</small>
        </Term>
        <Term name="lasts">{duration(tree.duration[span]! / 1e6)}</Term>
        <Term name="of it itself">
          {duration(tree.self[span]! / 1e6)}{' '}
          <small>{percent(tree.duration[span]! > 0 ? tree.self[span]! / tree.duration[span]! : undefined)}</small>
        </Term>
        <Term name="on the critical path">{duration(path.own[span]! / 1e6)}</Term>
        {totals(bands).map(([cause, seconds]) => (
          <Term key={cause} name={causeText(cause)}>
            {duration(seconds)}
          </Term>
        ))}
      </dl>
      {tree.skew[span]! > 0 && (
        <p class="remark">
          It begins {duration(tree.skew[span]! / 1e6)} before its parent: the clocks of the two differ. Its place on the
          axis is what its own clock says.
        </p>
      )}
      {tree.circular[span] === 1 && <p class="remark">Its parents form a circle, so it is shown at the top.</p>}
      <Relatives {...{ columns, tree, span, select }} />
      {detail && <Exceptions events={detail.events} />}
      {logs.length > 0 && <LogLines logs={logs} origin={origin} />}
      {detail && (
        <>
          <Pairs title="Attributes" pairs={detail.attributes} open />
          <Events events={detail.events} startUnixNano={columns.startUnixNano} />
          {detail.links.length > 0 && (
            <section>
              <h3>Links to other spans</h3>
              <ul>
                {detail.links.map(({ traceId, spanId }) => (
                  <li key={traceId + spanId}>
                    <a class="mono" href={link(`/trace/${encodeURIComponent(traceId)}`, { span: spanId })}>
                      {traceId.slice(0, 8)}…/{spanId}
                    </a>
                  </li>
                ))}
              </ul>
            </section>
          )}
          <Pairs title="Resource" pairs={detail.resource} />
          <p class="ids mono">
            {detail.scope !== '' && <bdi>{detail.scope}</bdi>} <bdi>{columns.spanId[span]}</bdi>
          </p>
          {detail.leftOut > 0 && <p class="remark">The SDK left out {detail.leftOut} attributes, events or links.</p>}
        </>
      )}
      {!detail && (
        <p role="status">
          {error === undefined ? 'Asking for its attributes …' : `Cannot show its attributes: ${error}`}
        </p>
      )}
      <p class="further">
        {source.live && (
          <a href={link('/logs', { trace: columns.traceId, span: columns.spanId[span] })}>Logs of this span</a>
        )}
        {source.live && (
          <a href={link('/traces', { q: queryOf({ ...EMPTY, service, name }) })}>Traces with such a span</a>
        )}
      </p>
    </aside>
  )
}

function Term({ name, children }: { readonly name: string; readonly children: preact.ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  )
}

/** The span above and those below, and with them the services that call it and that it calls. */
function Relatives(props: {
  readonly columns: TraceColumns
  readonly tree: Tree
  readonly span: number
  select(node: number): void
}) {
  const { columns, tree, span, select } = props
  const children: number[] = []
  for (let each = tree.child[span]!; each >= 0; each = tree.sibling[each]!) children.push(each)
  const longest = [...children].sort((a, b) => tree.duration[b]! - tree.duration[a]!).slice(0, MOST_CHILDREN)
  const parent = tree.parent[span]!
  if (parent < 0 && children.length === 0) return null
  const one = (node: number) => (
    <button type="button" class="quiet relative" onClick={() => select(node)}>
      {node < tree.spans ? (
        <>
          <Service name={columns.services[columns.service[node]!]!} /> <bdi>{columns.names[columns.name[node]!]}</bdi>{' '}
          <small>{duration(tree.duration[node]! / 1e6)}</small>
        </>
      ) : (
        <>a span that is not here ({tree.missing[node - tree.spans]})</>
      )}
    </button>
  )
  return (
    <section class="relatives">
      {parent >= 0 && (
        <>
          <h3>Called by</h3>
          {one(parent)}
        </>
      )}
      {children.length > 0 && (
        <>
          <h3>Calls{children.length > MOST_CHILDREN ? `, the longest of ${children.length}` : ''}</h3>
          <ul>
            {longest.map(node => (
              <li key={node}>{one(node)}</li>
            ))}
          </ul>
        </>
      )}
    </section>
  )
}

function isException({ name }: DetailEvent): boolean {
  return name === 'exception'
}

/** Errors stand before all else. */
function Exceptions({ events }: { readonly events: readonly DetailEvent[] }) {
  return (
    <>
      {events.filter(isException).map((event, i) => {
        const value = (key: string): string => event.attributes.find(([name]) => name === key)?.[1] ?? ''
        const [type, message, stack] = [
          value('exception.type'),
          value('exception.message'),
          value('exception.stacktrace'),
        ]
        return (
          <section key={i} class="exception">
            <h3>
              <Badge state="failed">
                <bdi>{type === '' ? 'exception' : type}</bdi>
              </Badge>
            </h3>
            {message !== '' && (
              <p>
                <bdi>{message}</bdi>
              </p>
            )}
            {stack !== '' && <pre tabIndex={0}>{stack}</pre>}
          </section>
        )
      })}
    </>
  )
}

function Events({
  events,
  startUnixNano,
}: {
  readonly events: readonly DetailEvent[]
  readonly startUnixNano: string
}) {
  const others = events.filter(each => !isException(each))
  if (others.length === 0) return null
  return (
    <section>
      <h3>Events</h3>
      <ul class="events">
        {others.map(({ time, name, attributes }, i) => (
          <li key={i}>
            <span class="at">{duration(Number(time - BigInt(startUnixNano)) / 1e9)}</span> <bdi>{name}</bdi>
            {attributes.length > 0 && <Table pairs={attributes} />}
          </li>
        ))}
      </ul>
    </section>
  )
}

function LogLines({ logs, origin }: { readonly logs: readonly LogRecord[]; readonly origin: number }) {
  return (
    <section>
      <h3>{logs.length === 1 ? 'Its log line' : `Its ${logs.length} log lines`}</h3>
      <ul class="loglines">
        {logs.slice(0, 50).map(({ number, severity, body, time }) => (
          <li key={number} class={severity.toLowerCase()}>
            {time !== undefined && <span class="at">{duration((Date.parse(time) - origin) / 1000)}</span>}{' '}
            <b>{severity}</b> <bdi>{body}</bdi>
          </li>
        ))}
      </ul>
    </section>
  )
}

function Pairs({
  title,
  pairs,
  open = false,
}: {
  readonly title: string
  readonly pairs: readonly Pair[]
  readonly open?: boolean
}) {
  if (pairs.length === 0) return null
  return (
    <details open={open}>
      <summary>
        {title} <small>{pairs.length}</small>
      </summary>
      <Table pairs={pairs} />
    </details>
  )
}

function Table({ pairs }: { readonly pairs: readonly Pair[] }) {
  return (
    <dl class="pairs">
      {pairs.map(([key, value], i) => (
        <div key={i}>
          <dt>
            <bdi>{key}</bdi>
          </dt>
          <dd>
            <Value text={value} />
          </dd>
        </div>
      ))}
    </dl>
  )
}

function Value({ text }: { readonly text: string }) {
  const [all, open] = useState(false)
  if (text.length <= LONG || all) return <bdi>{text}</bdi>
  return (
    <>
      <bdi>{text.slice(0, LONG)}</bdi>…{' '}
      <button type="button" class="quiet" onClick={() => open(true)}>
        all {count(text.length)} characters
      </button>
    </>
  )
}

/** The services of the trace, while no span is selected. */
export function ServicesPanel(props: {
  readonly columns: TraceColumns
  readonly tree: Tree
  readonly path: CriticalPath
  choose(service: string): void
}) {
  const { columns, tree, path, choose } = props
  const sums = useMemo(() => serviceSums(columns, tree, path), [columns, tree, path])
  const whole = sums.reduce((sum, { critical }) => sum + critical, 0)
  return (
    <aside class="panel card" aria-label="Services of the trace">
      <header>
        <h2>Where the time goes</h2>
      </header>
      <ul class="shares">
        {sums.slice(0, 30).map(({ service, spans, errors, self, critical }) => (
          <li key={service}>
            <button type="button" class="quiet relative" onClick={() => choose(service)}>
              <Service name={service} />
            </button>
            <span class="share">{percent(whole > 0 ? critical / whole : undefined)}</span>
            <progress
              max={1}
              value={whole > 0 ? critical / whole : 0}
              aria-label={`${service}: share of the critical path`}
            />
            <small>
              {spans} {spans === 1 ? 'span' : 'spans'}, {duration(self / 1e6)} of own time
              {errors > 0 && `, ${errors} ${errors === 1 ? 'error' : 'errors'}`}
            </small>
          </li>
        ))}
      </ul>
      <p class="hint">
        Shares are of the critical path: the time that the trace would be shorter without. Select a span to see all it
        has.
      </p>
    </aside>
  )
}
