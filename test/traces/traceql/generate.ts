// Queries for the tests, from a seed: by the grammar, with types that mostly fit, and mutated ones that mostly do not. What
// is generated is what Tempo 2.8 has too, so that its parser can judge each; `newer` adds what came later.

import { numbers } from '../../random.ts'

/** A small generator of numbers (mulberry32): the same seed gives the same queries. */
export class Random {
  readonly #next: () => number

  constructor(seed: number) {
    this.#next = numbers(seed)
  }

  /** A whole number from 0 up to, not including, `below`. */
  below(below: number): number {
    return Math.floor(this.#next() * below)
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!
  }

  /** True once in `n` times. */
  once(n: number): boolean {
    return this.below(n) === 0
  }
}

const NAMES = ['a', 'http.route', 'a-b', 'x/y*z', 'status', 'span.a', '"foo"', 'b"c"d', 'é', '0', 'duration']
const SCOPES = ['.', 'span.', 'resource.', 'event.', 'link.', 'instrumentation.', '.', 'span.', 'resource.']
const STRUCTURAL = ['>', '<', '>>', '<<', '~', '!>', '!<', '!>>', '!<<', '!~', '&>', '&<', '&>>', '&<<', '&~']
const STRINGS = ['"x"', '"shop"', '`raw`', '"a\\tb"', '"é"', '""', '"\\x41\\u00e9"', '"GET /cart"']
const REGEXES = ['"GET.*"', '"a|b"', '`(?i)x+`', '".*"', '"[a-c]{2}"']
const NUMBERS = ['0', '1', '2', '17', '9007199254740993', '1.5', '0.25', '1e3', '.5', '100000', '1234567.0', '0.00001']
const DURATIONS = ['1s', '100ms', '5us', '10ns', '1.5s', '1h30m', '1d', '2w', '0s', '1m0.5s', '90s', '1y']
const TEXT_INTRINSICS = `name statusMessage rootName rootServiceName trace:rootName trace:rootService trace:id span:name
  span:statusMessage span:id span:parentID event:name link:traceID link:spanID instrumentation:name
  instrumentation:version`.split(/\s+/)
const LONG_INTRINSICS = 'duration traceDuration span:duration trace:duration event:timeSinceStart'.split(' ')
const WHOLE_INTRINSICS = 'nestedSetLeft nestedSetRight nestedSetParent'.split(' ')
const STATUSES = ['ok', 'error', 'unset']
const KINDS = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer']
const COMPARISONS = ['=', '!=', '<', '<=', '>', '>=']

export function query(random: Random, newer = false): string {
  if (random.once(8)) return pipelines(random, 3)
  let text = pipeline(random)
  if (random.once(3)) {
    text += ` | ${metrics(random)}`
    if (random.once(4) && !text.includes('compare'))
      text += ` | ${random.pick(['topk', 'bottomk'])}(${random.below(5)})`
    if (newer && random.once(3) && !text.includes('compare'))
      text += ` ${random.pick(COMPARISONS)} ${random.pick(NUMBERS)}`
  }
  if (random.once(6))
    text += ` with(${random.pick(['most_recent=true', 'sample=0.1', 'a="x",b=5', 'exemplars=false'])})`
  return text
}

function pipelines(random: Random, depth: number): string {
  const side = (): string =>
    depth > 0 && random.once(4) ? `(${pipelines(random, depth - 1)})` : `(${pipeline(random)} | ${stage(random)})`
  return `${side()} ${random.pick(['&&', '||', ...STRUCTURAL])} ${side()}`
}

function pipeline(random: Random): string {
  let text = random.once(12) ? stage(random) : spansets(random, 2)
  while (random.once(3)) text += `${random.pick([' | ', '|'])}${random.once(8) ? 'coalesce()' : stage(random)}`
  return text
}

function stage(random: Random): string {
  switch (random.below(5)) {
    case 0:
      return `by(${value(random, 1)})`
    case 1:
      return `select(${[attribute(random), attribute(random)].slice(random.below(2)).join(', ')})`
    case 2:
      return scalarFilter(random)
    default:
      return spansets(random, 1)
  }
}

function scalarFilter(random: Random): string {
  const operator = random.pick(COMPARISONS)
  const constant = random.pick([...NUMBERS, ...DURATIONS, `-${random.pick(NUMBERS)}`])
  if (random.once(3)) return `count() ${operator} ${constant}`
  return `${random.pick(['avg', 'min', 'max', 'sum'])}(${number(random, 1)}) ${operator} ${constant}`
}

function metrics(random: Random): string {
  const by = random.once(2) ? ` by(${[attribute(random), attribute(random)].slice(random.below(2)).join(',')})` : ''
  const simple = ['min', 'max', 'avg', 'sum', 'histogram'].map(name => `${name}_over_time(${attribute(random)})`)
  if (random.once(8)) return `compare(${filter(random, 1)}${random.pick(['', ', 5', ', 5, 10, 20'])})`
  return (
    random.pick(['rate()', 'count_over_time()', ...simple, `quantile_over_time(${attribute(random)}, 0.5, .99, 1)`]) +
    by
  )
}

function spansets(random: Random, depth: number): string {
  if (depth === 0 || random.once(2)) return filter(random, 2)
  const left = spansets(random, depth - 1)
  const right = spansets(random, depth - 1)
  const text = `${left} ${random.pick(['&&', '||', ...STRUCTURAL])} ${right}`
  return random.once(3) ? `(${text})` : text
}

function filter(random: Random, depth: number): string {
  return random.once(8) ? '{}' : `{ ${truth(random, depth)} }`
}

/** Something that is true or false. */
function truth(random: Random, depth: number): string {
  if (depth > 0 && random.once(2)) {
    const text = `${truth(random, depth - 1)} ${random.pick(['&&', '||'])} ${truth(random, depth - 1)}`
    return random.once(3) ? `${random.pick(['', '!'])}(${text})` : text
  }
  switch (random.below(9)) {
    case 0:
      return `${random.pick(['status', 'span:status'])} ${random.pick(['=', '!='])} ${random.pick(STATUSES)}`
    case 1:
      return `${random.pick(['kind', 'span:kind'])} ${random.pick(['=', '!='])} ${random.pick(KINDS)}`
    case 2:
      return random.pick([attribute(random), `!${attribute(random)}`, 'true', '!false'])
    case 3:
      return random.pick([`${attribute(random)} != nil`, `nil != ${attribute(random)}`])
    case 4:
      return `${text(random)} ${random.pick(['=~', '!~'])} ${random.pick(REGEXES)}`
    case 5:
    case 6:
      return `${text(random)} ${random.pick(COMPARISONS)} ${random.pick(STRINGS)}`
    default:
      return `${number(random, 2)} ${random.pick(COMPARISONS)} ${number(random, 1)}`
  }
}

function text(random: Random): string {
  return random.once(2) ? attribute(random) : random.pick(TEXT_INTRINSICS)
}

function number(random: Random, depth: number): string {
  if (depth > 0 && random.once(3)) {
    const operator = random.pick(['+', '-', '*', '/', '%'])
    // Constants are not divided, so that Tempo and JavaScript need not agree on the last digit.
    const right = '/%'.includes(operator) ? named(random) : number(random, depth - 1)
    const sum = `${number(random, depth - 1)} ${operator} ${right}`
    return random.once(3) ? `${random.pick(['', '-'])}(${sum})` : sum
  }
  const minus = random.once(8) ? '-' : ''
  return minus + random.pick([named(random), random.pick(NUMBERS), random.pick(DURATIONS)])
}

function named(random: Random): string {
  return random.pick([attribute(random), random.pick(LONG_INTRINSICS), random.pick(WHOLE_INTRINSICS)])
}

function value(random: Random, depth: number): string {
  return random.pick([attribute(random), random.pick(['status', 'kind', 'name']), number(random, depth)])
}

function attribute(random: Random): string {
  return random.once(9) ? random.pick([...TEXT_INTRINSICS, 'kind', 'status']) : random.pick(SCOPES) + random.pick(NAMES)
}

// Without ^: Tempo 2.8 computes powers of constants by counting up to them, which can take hours.
const BITS = [
  ...'{}()|&!<>=~+-*/%.,"`\\ '.split(''),
  ...STRUCTURAL,
  '&&',
  '||',
  'nil',
  'true',
  'count()',
  'by(',
  'select(',
  'coalesce()',
  'rate()',
  'span.',
  'span:',
  'event:name',
  'parent.',
  '.a',
  'duration',
  '1s',
  '5',
  '"x"',
  '/*',
  '*/',
  '//',
  '\n',
  'with(',
  'a=1)',
  '| topk(5)',
]

/** The query with a few characters or words removed, doubled, swapped or put in. */
export function mutated(random: Random, source: string): string {
  let text = source
  for (let n = 1 + random.below(3); n > 0; n--) {
    const at = random.below(text.length + 1)
    const length = 1 + random.below(4)
    switch (random.below(4)) {
      case 0:
        text = text.slice(0, at) + text.slice(at + length)
        break
      case 1:
        text = text.slice(0, at) + random.pick(BITS) + text.slice(at)
        break
      case 2:
        text = text.slice(0, at) + random.pick(BITS) + text.slice(at + length)
        break
      default:
        text = text.slice(0, at) + text.slice(at, at + length) + text.slice(at)
    }
  }
  return text
}
