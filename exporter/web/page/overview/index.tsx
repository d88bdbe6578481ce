// The overview: is the application well, what needs attention first, and how it does now and over the last 15 minutes.

import './overview.css'
import { useEffect } from 'preact/hooks'
import { useAsk } from '../ask.ts'
import { Chart } from '../chart.tsx'
import { age, bytes, count, digits, duration, percent, rate } from '../format.ts'
import { Badge, Card, Figure, Scroll, Service, Time, Trouble } from '../parts.tsx'
import { link, type Route } from '../route.ts'
import { missed, paused } from '../settings.ts'
import { useStore } from '../store.ts'
import type { End, OverviewAnswer } from './answer.ts'
import { AttentionList } from './attention.tsx'
import { NoSpans } from './no-spans.tsx'

export function Overview({ route }: { readonly route: Route }) {
  const service = route.query.get('service') ?? ''
  const path = `/api/overview?${new URLSearchParams({ step: '3', ...(service && { service }) })}`
  const answer = useAsk<OverviewAnswer>(path, { every: 2000 })
  const { data, newest } = answer
  const stopped = useStore(paused)
  const behind = stopped && data && newest ? newest.requests.entered - data.requests.entered : 0
  useEffect(() => {
    missed.set(behind > 0 ? `${count(behind)} new` : undefined)
  }, [behind])
  return (
    <>
      <div class="page-head">
        <h1>Overview</h1>
        {data && <Since data={data} />}
      </div>
      <Trouble answer={answer} what="the overview" />
      {data && <Known data={data} service={service} />}
    </>
  )
}

function Since({ data: { history, now } }: { readonly data: OverviewAnswer }) {
  const [first] = history.times
  const seconds = first === undefined ? 0 : now / 1000 - first
  return (
    <small>
      {seconds < 870
        ? `charts fill while this page is open: ${age(Math.max(seconds, 1))} of 15 min so far`
        : 'the last 15 minutes'}
    </small>
  )
}

function Known({ data, service }: { readonly data: OverviewAnswer; readonly service: string }) {
  const { requests, history, readings } = data
  const shown = requests.services.find(each => each.service === service) ?? requests.all
  const spans = requests.services.length > 0
  const { times } = history
  const line = (name: string) => history.readings[name] ?? times.map(() => null)
  const limit = readings['memoryLimit']
  return (
    <>
      <AttentionList items={data.attention} />
      {!spans && <NoSpans application={data.application} receiver={data.receiver} />}
      <div class="strip">
        <Card
          title={service === '' ? 'Requests now' : `Requests of ${service} now`}
          class="wide"
          aside={spans && `last ${age(requests.windowSeconds)}`}
        >
          <dl class="figures">
            <Figure name="Rate" value={rate(shown.perSecond)} />
            <Figure
              name="Errors"
              value={percent(shown.calls === 0 ? 0 : shown.errors / shown.calls)}
              note={`${count(shown.errors)} of ${count(shown.calls)}`}
              {...(shown.errors > 0 && { state: 'failed' as const })}
            />
            <Figure name="p50" value={duration(shown.p50)} />
            <Figure name="p95" value={duration(shown.p95)} />
            <Figure name="p99" value={duration(shown.p99)} />
          </dl>
        </Card>
        <Card title="Health">
          <Health data={data} />
        </Card>
        <Card title="Process">
          <Process data={data} />
        </Card>
      </div>
      <div class="charts">
        {spans && (
          <>
            <Card title="Request rate">
              <Chart
                label="Request rate"
                unit="perSecond"
                times={times}
                lines={[
                  { label: 'all', values: history.requests, colour: 'var(--accent)', filled: true },
                  { label: 'failed', values: history.errors, colour: 'var(--failed)' },
                ]}
              />
            </Card>
            <Card title="Latency">
              <Chart
                label="Latency"
                unit="seconds"
                times={history.latency.times}
                lines={[
                  { label: 'p50', values: history.latency.p50, colour: 'var(--hue-2)' },
                  { label: 'p95', values: history.latency.p95, colour: 'var(--hue-0)' },
                  { label: 'p99', values: history.latency.p99, colour: 'var(--hue-3)' },
                ]}
              />
            </Card>
          </>
        )}
        <Card
          title="CPU"
          aside={readings['cpuLimit'] === undefined ? 'cores' : `cores, limit ${digits(readings['cpuLimit'])}`}
        >
          <Chart
            label="CPU of the application in cores"
            unit="cores"
            times={times}
            lines={[
              { label: 'used', values: line('cpuUsed'), colour: 'var(--accent)', filled: true },
              { label: 'waited for', values: line('cpuWaited'), colour: 'var(--warning)' },
              { label: 'throttled', values: line('cpuThrottled'), colour: 'var(--failed)', dashed: true },
            ]}
          />
        </Card>
        <Card title="Memory" aside={limit === undefined ? 'no limit' : `limit ${bytes(limit)}`}>
          <Chart
            label="Memory of the application"
            unit="bytes"
            times={times}
            top={limit}
            lines={[
              { label: 'resident', values: line('memory'), colour: 'var(--accent)', filled: true },
              ...(limit === undefined
                ? []
                : [{ label: 'limit', values: line('memoryLimit'), colour: 'var(--failed)', dashed: true }]),
            ]}
          />
        </Card>
        <Card title="Event loop" aside="share of a core that the main thread uses">
          <Chart
            label="Main thread of the application, share of a core"
            unit="ratio"
            times={times}
            top={0.2}
            lines={[{ label: 'main thread', values: line('mainThread'), colour: 'var(--hue-3)', filled: true }]}
          />
        </Card>
        <Card
          title="Open files"
          aside={readings['filesLimit'] !== undefined && `limit ${count(Math.round(readings['filesLimit']))}`}
        >
          <Chart
            label="Open files of the application"
            unit="count"
            times={times}
            lines={[{ label: 'open', values: line('openFiles'), colour: 'var(--hue-5)', filled: true }]}
          />
        </Card>
      </div>
      {spans && <Services data={data} service={service} />}
    </>
  )
}

function Health({ data: { process, attention } }: { readonly data: OverviewAnswer }) {
  const { healthy, healthSince, healthLonger } = process
  const state = healthy === undefined ? 'unknown' : healthy ? 'ok' : 'failed'
  // Probes that are not up say why.
  const reasons = attention.filter(({ link }) => link === '#/sidecar?part=health')
  return (
    <>
      <dl class="figures">
        <Figure
          name="By its probes"
          value={<Badge state={state}>{healthy === undefined ? 'no probe yet' : healthy ? 'up' : 'down'}</Badge>}
          note={
            healthSince !== undefined &&
            healthy !== undefined && (
              <>
                {healthLonger ? 'since before' : 'since'} <Time ms={healthSince} />
              </>
            )
          }
        />
      </dl>
      {reasons.length > 0 && (
        <ul class="ends" aria-label="Why">
          {reasons.map(({ text }) => (
            <li key={text}>
              <bdi>{text}</bdi>
            </li>
          ))}
        </ul>
      )}
    </>
  )
}

function Process({ data: { process, application, now } }: { readonly data: OverviewAnswer }) {
  const { running, startedSeconds, restarts, ends } = process
  const state = running === undefined ? 'unknown' : running ? 'ok' : 'failed'
  return (
    <>
      <dl class="figures">
        <Figure
          name={application.pid === undefined ? 'State' : `Process ${application.pid}`}
          value={
            <Badge state={state}>
              {running === undefined ? 'not seen' : running ? 'runs' : ends.length > 0 ? 'ended' : 'not found'}
            </Badge>
          }
          note={startedSeconds !== undefined && `up ${age(now / 1000 - startedSeconds)}`}
        />
        <Figure
          name="Restarts"
          value={count(restarts)}
          {...(restarts !== undefined && restarts > 0 && { state: 'warning' as const })}
        />
      </dl>
      {ends.length > 0 && (
        <ol class="ends" aria-label="Why it ended">
          {ends.slice(0, MOST_ENDS).map(end => (
            <li key={end.at} title={`${end.text} (${end.reason}, by ${end.evidence.replaceAll('_', ' ')})`}>
              <Time ms={end.at} /> <b>{REASONS[end.reason] ?? end.reason}</b> <small>{how(end)}</small>
            </li>
          ))}
          {ends.length > MOST_ENDS && <li class="more">and {ends.length - MOST_ENDS} before</li>}
        </ol>
      )}
    </>
  )
}

const MOST_ENDS = 3

const REASONS: Readonly<Record<string, string>> = {
  clean: 'ended',
  error: 'failed',
  terminated: 'was asked to end',
  killed: 'was killed',
  crash: 'crashed',
  oom: 'out of memory',
  unknown: 'ended, nobody knows why',
}

/** The rest of the sentence after "the application's process 7 ended". */
function how({ text }: End): string {
  return /^the application's process(?: \d+)? ended[,; ]*(.*)$/.exec(text)?.[1] ?? text
}

function Services({ data: { requests }, service }: { readonly data: OverviewAnswer; readonly service: string }) {
  return (
    <Card title="Services" aside={service !== '' && <a href={link('/overview')}>show all of them above</a>}>
      <Scroll label="Table of services">
        <table>
          <thead>
            <tr>
              <th class="text">Service</th>
              <th>Rate</th>
              <th>Errors</th>
              <th>p50</th>
              <th>p95</th>
              <th>p99</th>
              <th class="text">Show</th>
            </tr>
          </thead>
          <tbody>
            {requests.services.map(each => (
              <tr key={each.service} aria-current={each.service === service ? 'true' : undefined}>
                <th class="text" scope="row">
                  <Service name={each.service} />
                </th>
                <td>{rate(each.perSecond)}</td>
                <td class={each.errors > 0 ? 'failed-text' : ''}>
                  {percent(each.calls === 0 ? 0 : each.errors / each.calls)}
                </td>
                <td>{duration(each.p50)}</td>
                <td>{duration(each.p95)}</td>
                <td>{duration(each.p99)}</td>
                <td class="text links">
                  <a href={link('/overview', { service: each.service })}>charts</a>{' '}
                  <a href={link('/operations', { service: each.service })}>operations</a>{' '}
                  <a href={link('/traces', { q: `{ resource.service.name = ${JSON.stringify(each.service)} }` })}>
                    traces
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
