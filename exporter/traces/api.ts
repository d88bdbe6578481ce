// Tempo's HTTP API below /tempo, and what the page asks below /api/traces: which path is answered by what, and by whom
// it may be asked. Errors are plain text, since Grafana shows people the text of an answer that is not 200.

import type { ServerResponse } from 'node:http'
import type { Kept } from '../../store/kept.ts'
import { Trace } from '../../store/trace.ts'
import type { Clock, Log } from '../../telemetry/host.ts'
import type { Route, RouteRequest } from '../../telemetry/route.ts'
import { BadQuery, QueryStopped } from '../../traceql/reading.ts'
import { Answer, type Outcome } from './api/answer.ts'
import type { Asked } from './api/asked.ts'
import { QueryPace } from './api/pace.ts'
import { Params } from './api/params.ts'
import { Places } from './api/places.ts'

export const KINDS = ['trace', 'search', 'tags', 'values', 'metrics'] as const
export type Kind = (typeof KINDS)[number]
export { OUTCOMES } from './api/answer.ts'

export interface ApiHost {
  readonly clock: Clock
  readonly log: Log
  readonly timeoutMs: number
  readonly version: string
}

const PREFIX = '/tempo'

export class Api {
  readonly routes: readonly Route[]
  readonly #kept: Kept | undefined
  readonly #host: ApiHost
  readonly #count: (kind: Kind, outcome: Outcome) => void
  readonly #queries = new Places()
  /** Apart, as a trace should be shown at once while queries take their time. */
  readonly #traces = new Places()

  constructor(kept: Kept | undefined, host: ApiHost, count: (kind: Kind, outcome: Outcome) => void) {
    this.#kept = kept
    this.#host = host
    this.#count = count
    const handle: Route['handle'] = (request, response, signal) =>
      this.#handle(request.path.slice(PREFIX.length), request, new Answer(response as ServerResponse), signal)
    // Attributes of spans may hold secrets, so nobody reads them who may not read the page.
    const page: Route['handle'] = (request, response, signal) =>
      this.#page(request, new Answer(response as ServerResponse), signal)
    this.routes = [
      { path: `${PREFIX}/`, methods: ['GET'], access: 'operator', handle },
      { path: '/api/traces', methods: ['GET'], access: 'operator', handle: page },
      { path: '/api/traces/', methods: ['GET'], access: 'operator', handle: page },
    ]
  }

  async #handle(path: string, request: RouteRequest, answer: Answer, signal: AbortSignal): Promise<void> {
    const id = /^\/api\/(v2\/)?traces\/([^/]+)$/.exec(path)
    if (id) return await this.#trace(id[2]!, id[1] !== undefined, request, answer, signal)
    switch (path) {
      // Grafana's "Save & test".
      case '/api/echo':
        answer.text(200, 'echo')
        return
      case '/ready':
        answer.text(200, 'ready')
        return
      case '/api/status/buildinfo':
        answer.json(buildInfo(this.#host.version))
        return
    }
    const [, version, rest = ''] = /^\/api\/(v2\/)?(search.*|metrics\/.*)$/.exec(path) ?? []
    const tag = /^search\/tag\/(.+)\/values$/.exec(rest)?.[1]
    const kind = tag !== undefined ? 'values' : kindOf(rest)
    if (!kind) {
      answer.text(404, `the Tempo API of this sidecar has no ${PREFIX}${path.slice(0, 200)}`)
      return
    }
    this.#count(kind, await this.#query(kind, rest, tag, version === undefined ? 1 : 2, request, answer, signal))
  }

  async #trace(
    id: string,
    wrapped: boolean,
    { headers }: RouteRequest,
    answer: Answer,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock } = this.#host
    const { traceById } = await import('./api/trace.ts')
    const outcome = await this.#paced(this.#traces, answer, signal, pace =>
      traceById(this.#kept, id, wrapped, headers.accept, { answer, pace, signal, clock }),
    )
    // However long the client takes for it, others may read traces meanwhile.
    this.#count('trace', typeof outcome === 'function' ? await outcome() : outcome)
  }

  async #query(
    kind: Kind,
    path: string,
    tag: string | undefined,
    version: 1 | 2,
    { target }: RouteRequest,
    answer: Answer,
    signal: AbortSignal,
  ): Promise<Outcome> {
    return await this.#answer(target, answer, signal, async asked => {
      const { tagNamed, tagsAnswer, valuesAnswer } = await import('./api/answers.ts')
      if (kind === 'tags') return await tagsAnswer(asked, version)
      if (tag !== undefined) return await valuesAnswer(asked, tagNamed(tag, asked.params), version)
      if (kind === 'search') return await (await import('./api/search.ts')).searchAnswer(asked)
      return await (await import('./api/metrics.ts')).metricsAnswer(asked, path === 'metrics/query', this.#host.clock)
    })
  }

  async #page(request: RouteRequest, answer: Answer, signal: AbortSignal): Promise<void> {
    const { answerPage, kindOf } = await import('./page/routes.ts')
    const kind = kindOf(request.path)
    if (!kind) {
      answer.text(404, `there is no ${request.path.slice(0, 200)}; docs/api.md says what there is below /api/traces`)
      return
    }
    const outcome = await this.#answer(request.target, answer, signal, async asked => {
      const { absent } = await import('./api/trace.ts')
      const { clock } = this.#host
      return await answerPage(request, asked, signal, this.#kept, id =>
        this.#kept ? absent(id, this.#kept, clock) : '',
      )
    })
    this.#count(kind, outcome)
  }

  /** Answers a query when it is its turn, for as long as its client waits. */
  async #answer(
    target: string,
    answer: Answer,
    signal: AbortSignal,
    respond: (asked: Asked) => Promise<Outcome>,
  ): Promise<Outcome> {
    return await this.#paced(this.#queries, answer, signal, async pace =>
      respond({ params: new Params(target), source: this.#kept ?? NOTHING, pace, answer }),
    )
  }

  /** Works when there is a place, in slices and not for too long. */
  async #paced<Result>(
    places: Places,
    answer: Answer,
    signal: AbortSignal,
    work: (pace: QueryPace) => Promise<Result>,
  ): Promise<Outcome | Result> {
    const { clock, timeoutMs } = this.#host
    try {
      const done = await places.take(signal, timeoutMs)
      if (!done) return answer.text(429, 'too many queries wait already; ask again in a second', { 'Retry-After': '1' })
      try {
        return await work(new QueryPace(clock, timeoutMs, signal))
      } finally {
        done()
      }
    } catch (error) {
      if (error instanceof BadQuery) return answer.text(400, error.message)
      if (!(error instanceof QueryStopped)) throw error
      return error.reason === 'gone' ? 'gone' : answer.text(504, error.message)
    }
  }
}

function kindOf(path: string): Kind | undefined {
  switch (path) {
    case 'search':
      return 'search'
    case 'search/tags':
      return 'tags'
    case 'metrics/query':
    case 'metrics/query_range':
      return 'metrics'
    default:
      return undefined
  }
}

/** The language is that of Tempo 2.8; clients that look at the version choose what they ask by it. */
function buildInfo(version: string): string {
  return JSON.stringify({
    version: `2.8.0+pillion.${version}`,
    revision: '',
    branch: '',
    buildUser: '',
    buildDate: '',
    goVersion: '',
  })
}

/** A sidecar that keeps no traces. */
const NOTHING = { segments: [], trace: () => new Trace([], () => false) }
