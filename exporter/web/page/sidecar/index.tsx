// The sidecar itself: what it took in and what became of it, limits that were reached, its cost, its findings, its
// configuration.

import './sidecar.css'
import { useState } from 'preact/hooks'
import { useAsk } from '../ask.ts'
import { Chart } from '../chart.tsx'
import { age, bytes, count, digits, figure, percent, type Unit } from '../format.ts'
import { Badge, Card, Figure, Scroll, Time, Trouble } from '../parts.tsx'
import { link, type Route } from '../route.ts'
import { FlightRecords } from './flight.tsx'

interface Part {
  readonly name: string
  readonly state: 'ok' | 'warning' | 'failed'
  readonly facts: readonly { readonly name: string; readonly value: number | string; readonly unit?: Unit }[]
  readonly findings: readonly { readonly level: 'info' | 'warning'; readonly text: string }[]
}

interface Consumer {
  readonly consumer: string
  readonly kept?: number
  readonly sent?: number
  readonly held?: number
  readonly dropped: Readonly<Record<string, number>>
}

interface SidecarAnswer {
  readonly now: number
  readonly version: string
  readonly uptimeSeconds: number
  readonly parts: readonly Part[]
  readonly ledger: readonly {
    readonly signal: string
    readonly received: number
    readonly accepted: number
    readonly refused: Readonly<Record<string, number>>
    readonly consumers: readonly Consumer[]
  }[]
  readonly limits: readonly {
    readonly family: string
    readonly help: string
    readonly labels: Readonly<Record<string, string>>
    readonly grown: number
    readonly since: number
    readonly last: number
  }[]
  readonly memory: {
    readonly total: number
    readonly used: number
    readonly parts: readonly {
      readonly name: string
      readonly used: number
      readonly most: number
      readonly refused: number
    }[]
  }
  readonly cost: {
    readonly cpu?: number
    readonly memory?: number
    readonly history: {
      readonly times: readonly number[]
      readonly cpu: readonly (number | null)[]
      readonly memory: readonly (number | null)[]
    }
  }
  readonly configuration: string
}

export function Sidecar({ route }: { readonly route: Route }) {
  const answer = useAsk<SidecarAnswer>('/api/sidecar', { every: 5000 })
  const { data } = answer
  return (
    <>
      <div class="page-head">
        <h1>Sidecar</h1>
        {data && (
          <small>
            Pillion {data.version}, up {age(data.uptimeSeconds)} · <a href="/metrics">metrics</a> ·{' '}
            <a href="/dashboards/">dashboards</a> · <a href="/-/ready">ready?</a>
          </small>
        )}
      </div>
      <Trouble answer={answer} what="the sidecar" />
      {data && (
        <>
          <Findings parts={data.parts} chosen={route.query.get('part') ?? ''} />
          <FlightRecords there={data.parts.some(({ name }) => name === 'flight')} />
          <Ledger ledger={data.ledger} />
          <Limits limits={data.limits} />
          <Cost data={data} />
          <Parts parts={data.parts} chosen={route.query.get('part') ?? ''} />
          <Configuration text={data.configuration} />
        </>
      )}
    </>
  )
}

function Findings({ parts, chosen }: { readonly parts: readonly Part[]; readonly chosen: string }) {
  const all = parts.flatMap(({ name, findings }) => findings.map(finding => ({ ...finding, name })))
  const rank = ({ name, level }: (typeof all)[number]): number => (name === chosen ? 0 : level === 'warning' ? 1 : 2)
  const rows = all.sort((a, b) => rank(a) - rank(b))
  return (
    <Card title="Findings">
      {rows.length === 0 && <p class="note">The parts have found nothing to tell.</p>}
      <ul class="findings">
        {rows.map(({ name, level, text }) => (
          <li key={`${name} ${text}`} class={name === chosen ? 'chosen' : ''}>
            <Badge state={level === 'warning' ? 'warning' : 'unknown'}>
              {name}
              <span class="unseen">, {level}</span>
            </Badge>
            <bdi>{text}</bdi>
          </li>
        ))}
      </ul>
    </Card>
  )
}

function Ledger({ ledger }: { readonly ledger: SidecarAnswer['ledger'] }) {
  return (
    <Card title="Ledger" aside="items of OTLP since the start: received = accepted + refused">
      {ledger.length === 0 ? (
        <p class="note">The OTLP receiver is switched off.</p>
      ) : (
        <Scroll label="Table of the ledger">
          <table class="ledger">
            <thead>
              <tr>
                <th class="text" scope="col">
                  Signal
                </th>
                <th scope="col">Received</th>
                <th scope="col">Accepted</th>
                <th scope="col">Refused</th>
                <th class="text" scope="col">
                  What became of it
                </th>
              </tr>
            </thead>
            <tbody>
              {ledger.map(({ signal, received, accepted, refused, consumers }) => (
                <tr key={signal}>
                  <th class="text" scope="row">
                    {signal}
                  </th>
                  <td>{count(received)}</td>
                  <td>{count(accepted)}</td>
                  <td class={received > accepted ? 'failed-text' : ''}>
                    {count(received - accepted)}
                    <Reasons of={refused} />
                  </td>
                  <td class="text">
                    {consumers.map(each => (
                      <Became key={each.consumer} {...each} />
                    ))}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
    </Card>
  )
}

function Became({ consumer, kept, sent, held, dropped }: Consumer) {
  const lost = Object.values(dropped).reduce((sum, each) => sum + each, 0)
  const parts = [
    ...(kept === undefined ? [] : [`${count(kept)} kept now`]),
    ...(sent === undefined ? [] : [`${count(sent)} sent`]),
    ...(held === undefined ? [] : [`${count(held)} held`]),
  ]
  return (
    <p>
      {consumer}: {parts.join(', ')}
      {parts.length > 0 && ', '}
      <span class={lost > 0 ? 'failed-text' : ''}>{count(lost)} dropped</span>
      <Reasons of={dropped} />
    </p>
  )
}

function Reasons({ of }: { readonly of: Readonly<Record<string, number>> }) {
  const named = Object.entries(of).filter(([, value]) => value > 0)
  if (named.length === 0) return null
  return <small> ({named.map(([reason, value]) => `${count(value)} ${reason}`).join(', ')})</small>
}

function Limits({ limits }: { readonly limits: SidecarAnswer['limits'] }) {
  return (
    <Card title="Limits reached" aside="in the last 15 minutes, since this page was first opened">
      {limits.length === 0 ? (
        <p>
          <Badge state="ok">None.</Badge>
        </p>
      ) : (
        <ul class="findings">
          {limits.map(({ family, labels, grown, last, help }) => (
            <li key={family + JSON.stringify(labels)}>
              <Badge state="warning">{count(grown)}</Badge>
              <span>
                <a href={link('/metrics', { family })}>{family}</a>{' '}
                <code>
                  {Object.entries(labels)
                    .map(([name, value]) => `${name}=${value}`)
                    .join(', ')}
                </code>{' '}
                <small>
                  last at <Time ms={last} />. {help}
                </small>
              </span>
            </li>
          ))}
        </ul>
      )}
    </Card>
  )
}

function Cost({ data: { cost, memory } }: { readonly data: SidecarAnswer }) {
  const { times, cpu, memory: resident } = cost.history
  return (
    <div class="charts">
      <Card title="Its CPU" aside="share of a core">
        <dl class="figures">
          <Figure name="Last minute" value={percent(cost.cpu)} />
        </dl>
        <Chart
          label="CPU of the sidecar, share of a core"
          unit="ratio"
          times={times}
          height={120}
          lines={[{ label: 'sidecar', values: cpu, colour: 'var(--accent)', filled: true }]}
        />
      </Card>
      <Card title="Its memory" aside="resident">
        <dl class="figures">
          <Figure name="Now" value={bytes(cost.memory)} />
        </dl>
        <Chart
          label="Memory of the sidecar"
          unit="bytes"
          times={times}
          height={120}
          lines={[{ label: 'sidecar', values: resident, colour: 'var(--hue-3)', filled: true }]}
        />
      </Card>
      <Card title="Memory budget" aside={`${bytes(memory.used)} of ${bytes(memory.total)} held`}>
        <Scroll label="Table of the memory budget">
          <table>
            <thead>
              <tr>
                <th class="text" scope="col">
                  Part
                </th>
                <th scope="col">Holds</th>
                <th scope="col">At most</th>
                <th scope="col">Refused</th>
              </tr>
            </thead>
            <tbody>
              {memory.parts.map(({ name, used, most, refused }) => (
                <tr key={name}>
                  <th class="text" scope="row">
                    {name}
                  </th>
                  <td>{bytes(used)}</td>
                  <td>{bytes(most)}</td>
                  <td class={refused > 0 ? 'failed-text' : ''}>{count(refused)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      </Card>
    </div>
  )
}

const STATES = { ok: 'fine', warning: 'look here', failed: 'failed' } as const

function Parts({ parts, chosen }: { readonly parts: readonly Part[]; readonly chosen: string }) {
  return (
    <Card title="Parts">
      <ul class="parts-list">
        {parts.map(({ name, state, facts }) => (
          <li key={name} class={name === chosen ? 'chosen' : ''}>
            <h3>
              {name} <Badge state={state}>{STATES[state]}</Badge>
            </h3>
            <dl>
              {facts.map(({ name, value, unit = 'count' }) => (
                <div key={name}>
                  <dt>{name}</dt>
                  <dd>
                    <bdi>
                      {typeof value === 'string'
                        ? value
                        : unit === 'count'
                          ? count(value)
                          : unit === 'cores'
                            ? `${digits(value)} cores`
                            : figure(value, unit)}
                    </bdi>
                  </dd>
                </div>
              ))}
            </dl>
          </li>
        ))}
      </ul>
    </Card>
  )
}

function Configuration({ text }: { readonly text: string }) {
  const [all, showAll] = useState(false)
  const lines = text.split('\n').filter(line => line !== '')
  const shown = all ? lines : chosenLines(lines)
  return (
    <Card
      title="Configuration in effect"
      aside={
        <button type="button" aria-pressed={all} onClick={() => showAll(!all)}>
          With defaults
        </button>
      }
    >
      {shown.length === 0 ? (
        <p class="note">Every option has its default.</p>
      ) : (
        <Scroll label="Lines of the configuration" class="configuration">
          <pre>
            {shown.map((line, i) => {
              const at = line.indexOf('  # ')
              return (
                <Fragmented key={i} value={at < 0 ? line : line.slice(0, at)} origin={at < 0 ? '' : line.slice(at)} />
              )
            })}
          </pre>
        </Scroll>
      )}
    </Card>
  )
}

function Fragmented({ value, origin }: { readonly value: string; readonly origin: string }) {
  return (
    <>
      {value}
      {origin !== '' && <span class="origin">{origin}</span>}
      {'\n'}
    </>
  )
}

/** The lines whose value is not the default, with the sections around them. */
function chosenLines(lines: readonly string[]): readonly string[] {
  const depth = (line: string): number => line.length - line.trimStart().length
  return lines.filter((line, i) => {
    if (line.includes('  # ')) return !line.endsWith('# default')
    const next = lines.findIndex((other, j) => j > i && depth(other) <= depth(line))
    return lines
      .slice(i + 1, next < 0 ? undefined : next)
      .some(other => other.includes('  # ') && !other.endsWith('# default'))
  })
}
