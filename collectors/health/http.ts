// The HTTP probe: one request on a connection of its own, redirects not followed, nothing decompressed, the body read
// up to a limit.

import { failed } from '../../client/failure.ts'
import { request } from '../../client/http.ts'
import { Stopwatch } from '../../client/stopwatch.ts'
import type { Expression } from '../../options/expression.ts'
import type { TcpEndpoint } from '../../telemetry/client.ts'
import { refusal } from './address.ts'
import { looksLikeDocument, readDocument } from './document.ts'
import { type Failure, type Probe, propagation } from './verdict.ts'

export interface HttpTarget {
  readonly kind: 'http'
  readonly endpoint: TcpEndpoint
  /** The Host header: name and, unless it is the scheme's own, port. */
  readonly authority: string
  /** Path and query. */
  readonly path: string
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  /** Ranges of statuses that count as success. */
  readonly statuses: readonly (readonly [from: number, to: number])[]
  readonly headerMatches: readonly (readonly [name: string, expression: Expression])[]
  readonly bodyMatches: Expression | undefined
  readonly bodyNotMatches: Expression | undefined
  /** auto: components are taken from a health document if there is one; require: there must be one, and it must not say "down". */
  readonly document: 'auto' | 'require' | 'off'
}

const BODY_LIMIT = 64 * 1024
const HEADER_LIMIT = 16 * 1024

export const http: Probe<HttpTarget> = async (target, signal, context) => {
  const { endpoint, method, path } = target
  const headers = {
    host: target.authority,
    accept: '*/*',
    'accept-encoding': 'identity',
    'user-agent': context.userAgent,
    ...propagation(context),
    ...target.headers,
  }
  const limits = { maxHead: HEADER_LIMIT, maxBody: BODY_LIMIT, blocked: refusal }
  const answered = await request({ endpoint, method, path, headers, ...limits }, signal, context.clock)
  if (!answered.ok) return answered
  // Judging the answer takes time too, which is part of the remainder.
  const watch = new Stopwatch(context.clock, answered.phases)
  const { status, notAfter } = answered
  const answer = { ...answered, body: answered.body.toString() }
  const wanted = target.document !== 'off' && looksLikeDocument(answer.headers.get('content-type'))
  const read = wanted ? readDocument(answer.body) : undefined
  const outcome = (await judge(target, answer, read?.status)) ?? { ok: true as const }
  return watch.stop({
    ...outcome,
    status,
    ...(notAfter === undefined ? {} : { notAfter }),
    ...(read ? { document: read } : {}),
  })
}

interface Answer {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
  readonly whole: boolean
}

async function judge(target: HttpTarget, answer: Answer, documented: string | undefined): Promise<Failure | undefined> {
  if (!target.statuses.some(([from, to]) => answer.status >= from && answer.status <= to)) {
    const where = !answer.headers.has('location') ? '' : ', a redirect, which is not followed'
    return failed('status', `status ${answer.status}${where}`)
  }
  for (const [name, expression] of target.headerMatches) {
    const value = answer.headers.get(name)
    if (!(await expression.matches(value ?? '')))
      return failed('header', `${name} is ${value === undefined ? 'absent' : JSON.stringify(value)}`)
  }
  const { bodyMatches, bodyNotMatches } = target
  const matches = await bodyMatches?.matches(answer.body)
  if (matches && !bodyNotMatches && target.document !== 'require') return undefined
  // A part of the body cannot show what all of it contains.
  if ((bodyMatches || bodyNotMatches || target.document === 'require') && !answer.whole)
    return failed('too_large', `the body is longer than ${BODY_LIMIT} bytes`)
  if (bodyMatches && !matches) return failed('body', `does not match ${bodyMatches.source}`)
  if (bodyNotMatches && (await bodyNotMatches.matches(answer.body)))
    return failed('body', `matches ${bodyNotMatches.source}`)
  if (target.document === 'require' && documented === undefined) return failed('body', 'is not a health document')
  if (target.document === 'require' && documented === 'down') return failed('body', 'the health document says down')
  return undefined
}
