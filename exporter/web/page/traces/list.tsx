// The table of traces that a search found.

import { useState } from 'preact/hooks'
import { duration } from '../format.ts'
import { Badge, Scroll, Service, Time } from '../parts.tsx'
import { link } from '../route.ts'

/** A trace as /api/traces lists it. Times are milliseconds. */
/** Spans of a trace that is younger than this may still be on their way: SDKs send each few seconds. */
const COMING_MS = 15_000

export interface Listed {
  readonly traceId: string
  readonly service: string | null
  readonly name: string | null
  readonly start: number
  readonly duration: number
  readonly spans: number
  readonly errors: number
  readonly services: readonly { readonly name: string; readonly spans: number; readonly errors: number }[]
  readonly matched: number
  /** The first span that matched. */
  readonly span?: string
}

export function TraceTable({ traces }: { readonly traces: readonly Listed[] }) {
  const [chosen, choose] = useState<readonly string[]>([])
  const longest = Math.max(...traces.map(each => each.duration))
  const [a, b] = chosen
  return (
    <>
      {a !== undefined && (
        <p class="compare" role="status">
          {b === undefined ? (
            'Choose a second trace to compare.'
          ) : (
            <a href={link(`/trace/${a}`, { with: b })}>Compare the two</a>
          )}{' '}
          <button type="button" class="quiet" onClick={() => choose([])}>
            Choose none
          </button>
        </p>
      )}
      <Scroll label="Traces">
        <table class="traces">
          <thead>
            <tr>
              <th class="text" scope="col">
                <span class="unseen">Compare</span>
              </th>
              <th class="text" scope="col">
                Started
              </th>
              <th class="text" scope="col">
                Operation
              </th>
              <th class="text" scope="col">
                Duration
              </th>
              <th scope="col">Spans</th>
              <th class="text" scope="col">
                Services
              </th>
            </tr>
          </thead>
          <tbody>
            {traces.map(({ traceId, service, name, start, duration: ms, spans, errors, services, span, matched }) => (
              <tr key={traceId}>
                <td class="text">
                  <input
                    type="checkbox"
                    aria-label={`Compare ${name ?? traceId}`}
                    checked={chosen.includes(traceId)}
                    onChange={event =>
                      choose(
                        event.currentTarget.checked
                          ? [...chosen.slice(-1), traceId]
                          : chosen.filter(each => each !== traceId),
                      )
                    }
                  />
                </td>
                <td class="text">
                  <Time ms={start} millis />
                </td>
                <th class="text operation" scope="row">
                  {service !== null && <Service name={service} />}{' '}
                  {/* A search for some spans leads to the first of them. */}
                  <a href={link(`/trace/${traceId}`, { span: matched < spans ? span : undefined })}>
                    <bdi>
                      {name ||
                        (service === null
                          ? Date.now() - start < COMING_MS
                            ? 'its root has not come yet'
                            : 'root not here'
                          : '(no name)')}
                    </bdi>
                  </a>{' '}
                  {errors > 0 && (
                    <Badge state="failed">
                      {errors} {errors === 1 ? 'error' : 'errors'}
                    </Badge>
                  )}
                </th>
                <td class="text long">
                  <span>{duration(ms / 1000)}</span>
                  <i
                    style={{ width: `${longest > 0 ? Math.max(1, (ms / longest) * 100) : 0}%` }}
                    class={errors > 0 ? 'failed' : ''}
                  />
                </td>
                <td>{spans}</td>
                <td class="text services">
                  {services.slice(0, 4).map(each => (
                    <Service key={each.name} name={each.name} />
                  ))}
                  {services.length > 4 && <small>and {services.length - 4} more</small>}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </>
  )
}
