// Traces for the comparison with Tempo, and queries about them, both from a seed.

import { attributes, type Message } from '../../points/otlp.ts'
import { from, hex, nanos, type Sent } from '../room.ts'
import type { Random } from './generate.ts'

const SERVICES = ['shop', 'pay', 'bank', 'mail']
const NAMES = ['GET /', 'GET /cart', 'POST /pay', 'query', 'send']

/** Resource spans of some traces that start in the `seconds` after `start`. Ids and times are such that none is special. */
export function traces(random: Random, count: number, start: number, seconds: number): Message[] {
  return Array.from({ length: count }, (_, i) => trace(random, i, start, seconds)).flat()
}

function trace(random: Random, number: number, start: number, seconds: number): Message[] {
  // Tempo 2.8 reads ids without their leading zeros, so these have none.
  const id = `f${number.toString(16).padStart(15, '0')}${random
    .below(2 ** 30)
    .toString(16)
    .padStart(16, '0')}`
  const begins = start + random.below(seconds * 1000) / 1000 + 0.000137
  const size = 1 + random.below(7)
  const orphan = random.once(8)
  const byService = new Map<string, Sent[]>()
  for (let i = 0; i < size; i++) {
    const span: Sent = {
      trace: id,
      span: `a${number.toString(16).padStart(7, '0')}${(i + 1).toString(16).padStart(8, '0')}`,
      ...(i > 0 || orphan ? { parent: parentOf(random, number, i) } : {}),
      name: random.pick(NAMES),
      kind: 1 + random.below(5),
      ...(random.once(2) ? { status: 1 + random.below(2) } : {}),
      message: random.once(2) ? 'failed' : '',
      start: begins + i * 0.003,
      seconds: (1 + random.below(2000)) / 1000,
      attributes: attributesOf(random),
      ...(random.once(3) ? { events: [event(random, begins + i * 0.003)] } : {}),
      ...(random.once(4)
        ? {
            links: [
              {
                traceId: hex('f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1', 16),
                spanId: hex('f2f2f2f2f2f2f2f2', 8),
                attributes: attributes({ why: random.pick(['retry', 'batch']) }),
              },
            ],
          }
        : {}),
    }
    const service = random.pick(SERVICES)
    byService.set(service, [...(byService.get(service) ?? []), span])
  }
  return [...byService].map(([service, spans]) => {
    const message = from(service, ...spans) as { resource: Message }
    return {
      ...message,
      resource: {
        attributes: attributes({
          'service.name': service,
          n: SERVICES.indexOf(service),
          zone: service === 'bank' ? 'b' : 'a',
        }),
      },
    }
  })
}

function parentOf(random: Random, number: number, i: number): string {
  const above = i === 0 ? 99 : 1 + random.below(i)
  return `a${number.toString(16).padStart(7, '0')}${above.toString(16).padStart(8, '0')}`
}

function attributesOf(random: Random): Record<string, unknown> {
  return {
    ...(random.once(2) ? { route: random.pick(['/', '/cart', '/pay', 'a\nb']) } : {}),
    ...(random.once(2) ? { code: random.pick([200, 404, 500]) } : {}),
    ...(random.once(4) ? { code: random.pick(['200', 'none']) } : {}),
    ...(random.once(2) ? { n: random.below(5) } : {}),
    ...(random.once(3) ? { ratio: random.pick([0.25, 0.5, 1.75, 12.5]) } : {}),
    ...(random.once(3) ? { flag: random.once(2) } : {}),
  }
}

function event(random: Random, at: number): Message {
  return {
    name: random.pick(['exception', 'retry']),
    timeUnixNano: nanos(at + random.below(100) / 1000),
    attributes: attributes({ type: random.pick(['E', 'F']), m: random.below(3) }),
  }
}

export const STRUCTURAL = ['>', '<', '>>', '<<', '~', '!>', '!<', '!>>', '!<<', '!~', '&>', '&<', '&>>', '&<<', '&~']
const PLAIN = STRUCTURAL.filter(operator => !operator.startsWith('!') && operator !== '&>>' && operator !== '&<<')
const COMPARISONS = ['=', '!=', '<', '<=', '>', '>=']

/** A search over those traces, without what Tempo 2.8 is known to answer otherwise. */
export function question(random: Random): string {
  switch (random.below(10)) {
    case 0:
    case 1:
      return `${filter(random)} ${random.pick(PLAIN)} ${filter(random)}`
    case 2:
      return `${filter(random)} ${random.pick(['&&', '||'])} ${filter(random)}`
    case 3:
      return `${filter(random)} | ${aggregate(random)}`
    case 4:
      return `${filter(random)} | by(${random.pick(['resource.service.name', 'name', 'kind', 'status', 'span.code', 'span.n > 1'])})${random.once(2) ? ` | ${aggregate(random)}` : ''}`
    case 5:
      return `(${filter(random)} ${random.pick(PLAIN)} ${filter(random)}) ${random.pick(['&&', '||', ...PLAIN])} ${filter(random)}`
    case 6:
      return `${filter(random)} | by(name) | count() > 1 | coalesce() | ${filter(random)}`
    default:
      return random.once(20) ? '{}' : filter(random)
  }
}

function aggregate(random: Random): string {
  const operator = random.pick(COMPARISONS)
  switch (random.below(3)) {
    case 0:
      return `count() ${operator} ${random.below(5)}`
    case 1:
      return `${random.pick(['avg', 'min', 'max', 'sum'])}(duration) ${operator} ${random.below(2000)}ms`
    default:
      return `${random.pick(['min', 'max', 'sum', 'avg'])}(span.n) ${operator} ${random.below(6)}`
  }
}

/** Not `{}`: beside it Tempo leaves out spans that no root leads to. */
export function filter(random: Random): string {
  return `{ ${condition(random, 2)} }`
}

function condition(random: Random, depth: number): string {
  if (depth > 0 && random.once(3))
    return `${condition(random, depth - 1)} ${random.pick(['&&', '||'])} ${condition(random, depth - 1)}`
  const equality = random.pick(['=', '!='])
  switch (random.below(16)) {
    case 0:
      return `kind ${equality} ${random.pick(['internal', 'server', 'client', 'producer', 'consumer'])}`
    case 1:
      return `status ${equality} ${random.pick(['ok', 'error', 'unset'])}`
    case 2:
      return `duration ${random.pick(COMPARISONS)} ${random.below(2000)}ms`
    case 3:
      return `name ${equality} "${random.pick(NAMES)}"`
    case 4:
      return `name ${random.pick(['=~', '!~'])} "${random.pick(['GET.*', '.*a.*', 'GET', 'query|send', '(?i)get.*'])}"`
    case 5:
      return `resource.service.name ${random.pick([equality, '=~'])} "${random.pick(SERVICES)}"`
    case 6:
      return `span.code ${random.pick(COMPARISONS)} ${random.pick([200, 404, 500, 300])}`
    case 7:
      return `span.code ${equality} "${random.pick(['200', 'none'])}"`
    case 8:
      return `span.route ${random.pick([equality, '=~', '!~', '>', '<='])} "${random.pick(['/', '/cart', '/p.*', 'a.b'])}"`
    case 9:
      return `${random.pick(['.n', 'span.n', 'resource.n'])} ${random.pick(COMPARISONS)} ${random.below(5)}`
    case 10:
      return `span.ratio ${random.pick(COMPARISONS)} ${random.pick(['0.25', '0.5', '1.75', '3.5'])}`
    case 11:
      return random.pick(['span.flag = true', 'span.flag = false', 'span.flag != true', 'resource.zone = "a"'])
    case 12:
      return `${random.pick(['span.route', 'span.n', 'event.type', 'link.why'])} != nil`
    case 13:
      return `${random.pick(['event.type', 'event:name'])} = "${random.pick(['E', 'F', 'exception', 'retry'])}"`
    case 14:
      return random.pick([
        'link.why = "retry"',
        'link:spanID = "f2f2f2f2f2f2f2f2"',
        'event:timeSinceStart > 50ms',
        'event.m > 0',
        'nestedSetParent < 0',
        'nestedSetLeft = 1',
        'nestedSetParent = 1',
        'statusMessage = "failed"',
        'rootName =~ "GET.*"',
        'rootServiceName = "shop"',
        'traceDuration > 1s',
        'instrumentation:name = "scope"',
      ])
    default:
      return random.pick([
        'span.n + 1 > 2',
        'span.n * 2 = 4',
        'duration * 2 > 1s',
        'span.n = resource.n',
        'span.code > span.n',
        'span.n % 2 = 1',
        'span.code / 200 = 2',
      ])
  }
}

/**
 * Metrics over those traces. An attribute that is counted is not also filtered by: in Tempo 2.8 a span that passes by
 * another condition would then lack it.
 */
export function measurement(random: Random): string {
  for (;;) {
    const structural = random.pick(['>', '>>', '&&', '~'])
    const spans = random.once(4)
      ? `${filter(random)} ${structural} ${filter(random)}`
      : random.once(8)
        ? '{}'
        : filter(random)
    const counted = counting(random)
    const mentioned = counted.match(/service\.name|name|status|kind|duration|(?<=\.)\w+/gi) ?? []
    // Tempo 2.8 forgets a filter that is one condition on an intrinsic beside arithmetic.
    if (!mentioned.some(each => spans.toLowerCase().includes(each)) && !spans.includes('duration * 2'))
      return `${spans} | ${counted}`
  }
}

function counting(random: Random): string {
  const key = (): string =>
    random.pick(['resource.service.name', 'name', 'status', 'kind', 'span.n', 'span.route', 'resource.n'])
  const by = random.once(2) ? ` by(${random.once(3) ? `${key()}, span.flag` : key()})` : ''
  const of = random.pick(['min_over_time', 'max_over_time', 'avg_over_time', 'sum_over_time'])
  // In Tempo 2.8 one span without the attribute makes a sum of nothing.
  const attribute = of === 'sum_over_time' ? 'duration' : random.pick(['duration', 'span.n', 'span.ratio'])
  const name = random.pick([
    'rate()',
    'count_over_time()',
    `${of}(${attribute})`,
    `histogram_over_time(${random.pick(['duration', 'span.n'])})`,
    `quantile_over_time(${random.pick(['duration', 'span.n'])}, 0.5, 0.9)`,
  ])
  return name + by
}
