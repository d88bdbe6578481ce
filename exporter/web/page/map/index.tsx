// The services and the calls between them: how often, how many fail, how long they take.

import './map.css'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { useAsk } from '../ask.ts'
import { age, count, duration, percent, rate } from '../format.ts'
import { Badge, Card, Empty, Scroll, Service, Trouble } from '../parts.tsx'
import { ReceiverLines } from '../receiver.tsx'
import { link } from '../route.ts'
import { EMPTY, queryOf } from '../traces/form.ts'
import { type Drawn, type Flow, flows, type MapAnswer, type Place, picture } from './graph.ts'

/** Rates are those of the last minute, or of the time since the page was opened if that is shorter. */
const WINDOW_MS = 60_000
const EVERY = 2000

export function ServiceMap() {
  const answer = useAsk<MapAnswer>('/api/map', { every: EVERY })
  const { data } = answer
  const before = useEarlier(data)
  const [all, since] = useState(false)
  const { shown, from } = useMemo(() => {
    const lately = data && before && !all ? flows(data, before) : []
    // Where nothing is going on, what has been is worth more than a row of zeros.
    const busy = lately.some(({ requests }) => requests > 0)
    return busy ? { shown: lately, from: before } : { shown: data ? flows(data, undefined) : [], from: undefined }
  }, [data, before, all])
  const drawn = useMemo(() => picture(shown), [shown])
  return (
    <>
      <header class="page-head">
        <h1>Map</h1>
        {data && data.edges.length > 0 && (
          <button type="button" aria-pressed={all} onClick={() => since(!all)}>
            Since the start
          </button>
        )}
      </header>
      <Trouble answer={answer} what="the map" />
      {data && data.edges.length === 0 && <None enabled={data.enabled} />}
      {drawn.places.length > 0 && (
        <>
          <Card
            title="Calls"
            class="map"
            aside={
              from && data
                ? `in the last ${age((data.now - from.now) / 1000)}`
                : `since the sidecar was started${!all && before && data ? `; nothing in the last ${age((data.now - before.now) / 1000)}` : ''}`
            }
          >
            <Scroll label="Map of services">
              <svg
                viewBox={`0 0 ${drawn.width} ${drawn.height}`}
                width={drawn.width}
                role="group"
                aria-label="Services and the calls between them; the table below has the same numbers"
              >
                {drawn.edges.map(each => (
                  <Edge key={`${each.flow.client}\n${each.flow.server}\n${each.flow.type}`} edge={each} />
                ))}
                {drawn.places.map(each => (
                  <Node key={each.name} place={each} />
                ))}
              </svg>
            </Scroll>
            {drawn.leftOut > 0 && <p class="hint">{drawn.leftOut} more are in the table.</p>}
          </Card>
          <Calls flows={shown} />
        </>
      )}
      {data && data.overflow > 0 && (
        <p class="notice">
          {count(data.overflow)} requests are on edges beyond the limit (spans.graph.limit), which have no names.
        </p>
      )}
    </>
  )
}

function trouble(errors: number | undefined): 'failed' | 'warning' | '' {
  return errors === undefined || errors === 0 ? '' : errors >= 0.05 ? 'failed' : 'warning'
}

function Edge({ edge: { flow, d, width, labelX, labelY } }: { readonly edge: Drawn }) {
  const state = trouble(flow.errors)
  const still = flow.requests === 0
  const text = still
    ? ''
    : [rate(flow.rate), flow.p95 === undefined ? '' : duration(flow.p95), state && `✕ ${percent(flow.errors)}`]
        .filter(each => each && each !== '–')
        .join(' · ')
  return (
    <g class={`edge ${state} ${still ? 'still' : ''}`}>
      <path d={d} stroke-width={width} />
      <title>{`${flow.client} → ${flow.server}: ${flow.requests} requests`}</title>
      <text x={labelX} y={labelY - 5} aria-hidden="true">
        {text}
      </text>
    </g>
  )
}

const TYPES: Readonly<Record<string, string>> = {
  database: 'database',
  messaging_system: 'broker',
  virtual_node: 'sends no spans here',
}

function Node({ place }: { readonly place: Place }) {
  const { name, kind, type, x, y, width, height, errors, requests } = place
  const state = trouble(errors)
  const about =
    kind === 'caller'
      ? 'calls from outside'
      : requests === 0
        ? kind === 'called'
          ? (TYPES[type] ?? '')
          : 'no calls'
        : `${place.rate === undefined ? `${count(requests)} requests` : rate(place.rate)}${state ? `  ✕ ${percent(errors)}` : ''}`
  const box = (
    <>
      <rect x={x} y={y} width={width} height={height} rx="9" />
      <text class="title" x={x + 14} y={y + 22}>
        {short(name)}
      </text>
      <text class="about" x={x + 14} y={y + 40}>
        {about}
      </text>
      <title>{`${name}${type ? `, ${TYPES[type] ?? type}` : ''}`}</title>
    </>
  )
  const classes = `node ${kind} ${state}`
  if (kind !== 'service') return <g class={classes}>{box}</g>
  return (
    <a class={classes} href={link('/traces', { q: queryOf({ ...EMPTY, service: name }) })}>
      {box}
    </a>
  )
}

function short(name: string): string {
  if (name === '') return '(no name)'
  return name.length > 24 ? `${name.slice(0, 23)}…` : name
}

function Calls({ flows: all }: { readonly flows: readonly Flow[] }) {
  const sorted = [...all].sort((a, b) => b.requests - a.requests)
  return (
    <Card title="The same as a table" aside={`${sorted.length} ${sorted.length === 1 ? 'edge' : 'edges'}`}>
      <Scroll label="Table of calls">
        <table>
          <thead>
            <tr>
              <th class="text" scope="col">
                Caller
              </th>
              <th class="text" scope="col">
                Called
              </th>
              <th class="text" scope="col">
                Kind
              </th>
              <th scope="col">Rate</th>
              <th scope="col">Requests</th>
              <th scope="col">Errors</th>
              <th scope="col">p50</th>
              <th scope="col">p95</th>
              <th class="text" scope="col">
                <span class="unseen">Traces</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {sorted.map(({ client, server, type, rate: perSecond, requests, errors, p50, p95 }) => (
              <tr key={`${client}\n${server}\n${type}`}>
                <th class="text" scope="row">
                  <Service name={client} />
                </th>
                <td class="text">
                  <Service name={server} />
                </td>
                <td class="text">{TYPES[type] ?? (type || 'both send spans')}</td>
                <td>{rate(perSecond)}</td>
                <td>{count(requests)}</td>
                <td>
                  {errors !== undefined && errors > 0 ? (
                    <Badge state={errors >= 0.05 ? 'failed' : 'warning'}>{percent(errors)}</Badge>
                  ) : (
                    percent(errors)
                  )}
                </td>
                <td>{duration(p50)}</td>
                <td>{duration(p95)}</td>
                <td class="text">
                  <a
                    href={link('/traces', {
                      q: queryOf({
                        ...EMPTY,
                        service: type === '' ? server : client === 'user' ? server : client,
                        errors: (errors ?? 0) > 0,
                      }),
                    })}
                  >
                    {(errors ?? 0) > 0 ? 'failing traces' : 'traces'}
                  </a>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </Card>
  )
}

function None({ enabled }: { readonly enabled: boolean }) {
  if (!enabled)
    return (
      <Empty title="The map is switched off">
        <p>
          The service graph makes it. Set <code>spans.graph.enabled: true</code>.
        </p>
      </Empty>
    )
  return (
    <Empty title="No calls yet">
      <p>The map is made of client and server spans. Point the OpenTelemetry SDK of the application to this sidecar:</p>
      <ReceiverLines />
    </Empty>
  )
}

/** The answer of a minute ago, or the first one that this page got; undefined until there are two. */
function useEarlier(data: MapAnswer | undefined): MapAnswer | undefined {
  const seen = useRef<MapAnswer[]>([])
  const [earlier, set] = useState<MapAnswer | undefined>(undefined)
  useEffect(() => {
    if (!data) return
    const all = seen.current
    all.push(data)
    while (all.length > 2 && data.now - all[1]!.now >= WINDOW_MS) all.shift()
    set(all.length > 1 ? all[0] : undefined)
  }, [data])
  return earlier
}
