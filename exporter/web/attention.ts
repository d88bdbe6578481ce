// Trouble in words, each with a link. Each part that knows of trouble is a source in one list. The worst comes first,
// and of equals the one whose source stands first.

import type { End, Episode } from '../../telemetry/incident.ts'
import type { Status } from '../../telemetry/status.ts'
import type { Kept } from './recent/recent.ts'
import { entering, type Operation, quantile } from './recent/requests.ts'

export interface Attention {
  readonly level: 'failed' | 'warning' | 'info'
  /** One sentence that is complete in itself. */
  readonly text: string
  /** A view of the page that shows more: "#/metrics?family=…". */
  readonly link?: string
  /** TraceQL for the traces that it is about; the newest of them is the example. */
  readonly query?: string
  /** Since when, in milliseconds since the epoch. */
  readonly since?: number
  /** It was so already when the sidecar began to look. */
  readonly longer?: boolean
}

export interface Known {
  readonly status: Status
  readonly kept: Kept
  readonly now: number
  /** The newest first. */
  readonly ends: readonly End[]
  readonly episodes: readonly Episode[]
}

export type AttentionSource = (known: Known) => readonly Attention[] | Promise<readonly Attention[]>

/** A share of failures below this is not worth a sentence. */
const FAILING_RATIO = 0.01
/** Failures that are further apart than this are not one stretch of them. */
const GAP_SECONDS = 60
/** Fewer failures than this are no failure of the operation, whatever their share. */
const FAILED_ERRORS = 3
/** The time before now over which an operation is judged. */
const JUDGED_SECONDS = 120
const MOST_OPERATIONS = 5
const MOST_LIMITS = 5
const MOST_EPISODES = 2
/** Ends and episodes are told of for as long as the charts show them. */
const TOLD_MS = 15 * 60 * 1000
/** Ends that somebody has asked for. */
const WANTED = ['clean', 'terminated']

export const SOURCES: readonly AttentionSource[] = [
  processes,
  probes,
  operations,
  slow,
  restarts,
  findings,
  limits,
  slowBefore,
]

export async function attention(
  known: Known,
  sources: readonly AttentionSource[] = SOURCES,
): Promise<readonly Attention[]> {
  const all = (await Promise.all(sources.map(source => source(known)))).flat()
  const order = ['failed', 'warning', 'info']
  return all
    .map((each, i) => ({ each, i }))
    .sort((a, b) => order.indexOf(a.each.level) - order.indexOf(b.each.level) || a.i - b.i)
    .map(({ each }) => each)
}

function processes({ kept: { machine, timeline }, ends: [last] }: Known): readonly Attention[] {
  if (machine.now('running', timeline) !== 0) return []
  return [
    {
      level: 'failed',
      text: last ? `the application does not run: ${last.text}` : 'no process of the application is found',
      link: '#/sidecar?part=process',
      ...(last ? { since: last.at } : since('running')),
    },
  ]

  function since(name: 'running'): { since?: number; longer?: boolean } {
    const step = machine.unchangedSince(name, timeline)
    return step === undefined ? {} : { since: timeline.time(step), longer: step === timeline.first }
  }
}

/** A probe that is not up says why in its finding. */
function probes({ status, kept: { machine, timeline } }: Known): readonly Attention[] {
  const health = status.parts.find(({ name }) => name === 'health')
  const down = machine.now('healthy', timeline) === 0
  const step = down ? machine.unchangedSince('healthy', timeline) : undefined
  return (health?.findings ?? [])
    .filter(({ level }) => level === 'warning')
    .map(({ text }) => ({
      level: down ? ('failed' as const) : ('warning' as const),
      text,
      link: '#/sidecar?part=health',
      ...(step !== undefined && { since: timeline.time(step), longer: step === timeline.first }),
    }))
}

/** Operations with errors now. The span that serves a request is named, not the call to it, where both are known. */
function operations({ kept: { requests, timeline } }: Known): readonly Attention[] {
  const [from, end] = [timeline.since(JUDGED_SECONDS), timeline.steps]
  const median = (operation: Operation): number => {
    const buckets = new Float64Array(requests.bounds.length + 1)
    operation.addBuckets(from, end, buckets)
    return quantile(0.5, buckets, requests.bounds) ?? 0
  }
  const failing = requests.operations
    .map(operation => ({
      operation,
      calls: operation.calls(from, end),
      errors: operation.errors(from, end),
    }))
    .filter(({ calls, errors }) => errors > 0 && errors / calls >= FAILING_RATIO)
  const served = failing.filter(({ operation }) => entering(operation))
  return (
    (served.length > 0 ? served : failing)
      // Of operations that fail alike, the one that takes the least time is the one that the others call.
      .map(each => ({ ...each, tenths: Math.round((each.errors / each.calls) * 10), seconds: median(each.operation) }))
      .sort((a, b) => b.tenths - a.tenths || a.seconds - b.seconds)
      .slice(0, MOST_OPERATIONS)
      .map(({ operation }) => {
        const first = operation.failingSince(timeline.first, end, GAP_SECONDS)
        const begun = first ?? from
        const [calls, errors] = [operation.calls(begun, end), operation.errors(begun, end)]
        const longer = begun - timeline.first < 2
        return {
          level: errors >= FAILED_ERRORS && errors / calls >= 0.5 ? ('failed' as const) : ('warning' as const),
          text: `${operation.service}: ${operation.name} fails, ${errors} of ${calls} ${calls === 1 ? 'request' : 'requests'}`,
          query: traceQuery(operation, 'status = error'),
          since: timeline.time(begun),
          longer,
        }
      })
  )
}

/** The application runs again. */
function restarts({ kept: { machine, timeline }, ends, now }: Known): readonly Attention[] {
  const told = ends.filter(({ at }) => now - at < TOLD_MS)
  const worst = told.find(({ reason }) => !WANTED.includes(reason)) ?? told[0]
  if (!worst || machine.now('running', timeline) !== 1) return []
  const times = told.length === 1 ? '' : ` (${told.length} ends in the last 15 minutes)`
  return [
    {
      level: WANTED.includes(worst.reason) ? 'info' : 'warning',
      text: `the application was restarted: ${worst.text}${times}`,
      link: '#/sidecar?part=process',
      since: worst.at,
    },
  ]
}

function slow({ episodes }: Known): readonly Attention[] {
  return episodes
    .filter(({ to }) => to === null)
    .slice(0, MOST_EPISODES)
    .map(episode => told(episode, explained(episode) ? 'warning' : 'info', `${episode.service}: ${episode.sentence}`))
}

/** Slow requests of some minutes ago, since whoever asks for the reason comes late. Of a service only the last ones. */
function slowBefore({ episodes, now }: Known): readonly Attention[] {
  return [...Map.groupBy(episodes, ({ service }) => service).values()]
    .flatMap(([last]) => (last ? [last] : []))
    .filter(each => each.to !== null && now - each.to < TOLD_MS && explained(each))
    .slice(0, MOST_EPISODES)
    .map(episode => told(episode, 'info', `${episode.service}, over by now: ${episode.sentence}`))
}

function explained({ cause }: Episode): boolean {
  return cause !== 'unexplained'
}

function told({ trace_id, from }: Episode, level: Attention['level'], text: string): Attention {
  return { level, text, since: from, ...(trace_id !== null && { link: `#/trace/${trace_id}` }) }
}

function findings({ status }: Known): readonly Attention[] {
  return status.parts.flatMap(({ name, state, findings }) => [
    ...(state === 'failed'
      ? [
          {
            level: 'failed' as const,
            text: `${name}: its numbers could not be brought up to date`,
            link: `#/sidecar?part=${name}`,
          },
        ]
      : []),
    ...(name === 'health' ? [] : findings)
      .filter(({ level }) => level === 'warning')
      .map(({ text }) => ({ level: 'warning' as const, text: `${name}: ${text}`, link: `#/sidecar?part=${name}` })),
  ])
}

function limits({ kept, now }: Known): readonly Attention[] {
  return kept.limits
    .reached(now)
    .slice(0, MOST_LIMITS)
    .map(({ family, labels, grown, since }) => {
      const named = Object.entries(labels).map(([key, value]) => `${key}=${value}`)
      return {
        level: 'warning' as const,
        text: `${family} has grown by ${grown}${named.length > 0 ? ` (${named.join(', ')})` : ''}`,
        link: `#/metrics?${new URLSearchParams({ family })}`,
        since,
      }
    })
}

/** The spans of an operation in TraceQL, with a further condition. */
export function traceQuery(
  operation: { readonly service: string; readonly name: string; readonly kind: string },
  more: string,
): string {
  const { service, name, kind } = operation
  const kinds = kind === 'unspecified' ? '' : ` && kind = ${kind}`
  return `{ resource.service.name = ${JSON.stringify(service)} && name = ${JSON.stringify(name)}${kinds} && ${more} }`
}
