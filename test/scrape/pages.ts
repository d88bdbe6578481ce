// Pages of metrics, made at random from a seed: valid ones, with everything that the formats have, and broken ones.

import { numbers } from '../random.ts'

export type Format = 'text' | 'openmetrics'

/** Random numbers from a seed (mulberry32). */
export class Chance {
  readonly next: () => number

  constructor(seed: number) {
    this.next = numbers(seed)
  }

  below(most: number): number {
    return Math.floor(this.next() * most)
  }

  of<V>(values: readonly V[]): V {
    return values[this.below(values.length)]!
  }

  yes(share: number): boolean {
    return this.next() < share
  }
}

const NAMES = ['a', 'b', 'http_requests', 'x:y', '_z', 'wait_seconds', 'a_total', 'c_info']
/** Names that others write too: the count of a histogram a is a_count. */
const SHARED = ['a_count', 'b_sum', 'b_bucket', 'a_created']
const QUOTED = ['http.requests', 'a b', 'ü', '1st', 'q"q', 'back\\slash', 'http_requests_']
const LABELS = ['method', 'code', 'x', 'le_', 'path', '_u', 'l9']
const VALUES = [
  '',
  'GET',
  '200',
  'a b',
  'ü€😀',
  'say "hi"',
  'C:\\dir',
  'two\nlines',
  '{}',
  '#',
  ',',
  '} 1',
  '\ttab',
  '\0',
]
const NUMBERS = [
  '0',
  '1',
  '17',
  '1.5',
  '-3',
  '1e9',
  '1.25e-7',
  'NaN',
  '+Inf',
  '-Inf',
  '123456789012345678',
  '0.30000000000000004',
  '5e-324',
  '1.7976931348623157e308',
  '100000',
  '.5',
  '+2',
  '4.',
]
const COUNTS = ['0', '1', '2', '5', '17', '1024']

/**
 * A page that Prometheus' own parser accepts, unless chance makes a series twice. With `shared` names, two families may claim
 * one name.
 */
export function page(chance: Chance, format: Format, shared = false): string {
  const families: string[][] = []
  const used = new Set<string>()
  for (let i = chance.below(6) + 1; i > 0; i--) {
    const quoted = chance.yes(0.1)
    const name = chance.of(quoted ? QUOTED : shared ? [...NAMES, ...SHARED] : NAMES)
    const plain = name.replace(/[^\w:]/g, '_').replace(/^\d/, '_')
    if (used.has(plain)) continue
    used.add(plain)
    families.push(family(chance, format, name, quoted))
  }
  const text = families.flat().join('\n')
  return `${text}${text === '' ? '' : '\n'}${format === 'openmetrics' ? '# EOF\n' : ''}`
}

function family(chance: Chance, format: Format, name: string, quoted: boolean): string[] {
  const types =
    format === 'text'
      ? ['counter', 'gauge', 'histogram', 'summary', 'untyped', '']
      : ['counter', 'gauge', 'histogram', 'summary', 'unknown', 'info', 'stateset', 'gaugehistogram', '']
  const type = chance.of(types)
  const shown = quoted ? `"${escaped(name)}"` : name
  const lines: string[] = []
  if (chance.yes(0.7))
    lines.push(`# HELP ${shown} ${chance.of(['Some help.', 'back \\\\ slash', 'new \\n line', 'ü', 'x'])}`)
  if (type !== '') lines.push(`# TYPE ${shown} ${type}`)
  const sets = Array.from({ length: chance.below(4) + 1 }, (_, i) => labels(chance, i))
  for (const set of sets) lines.push(...samples(chance, format, name, quoted, type, set))
  if (format === 'text' && chance.yes(0.1)) lines.splice(chance.below(lines.length), 0, '# only a comment', '')
  return lines
}

function samples(chance: Chance, format: Format, name: string, quoted: boolean, type: string, set: string[]): string[] {
  const openmetrics = format === 'openmetrics'
  const line = (end: string, value: string, extra: readonly string[] = [], exemplar = false): string => {
    const all = [...extra, ...set]
    const full = name + end
    const series = quoted
      ? `{"${escaped(full)}"${all.map(each => `,${each}`).join('')}}`
      : `${full}${all.length === 0 ? '' : `{${all.join(',')}}`}`
    const time = chance.yes(0.1) ? ` ${openmetrics ? '1700000000.5' : '1700000000500'}` : ''
    const example =
      openmetrics && exemplar && chance.yes(0.4)
        ? ` # {${chance.of(['trace_id="abc"', 'a="ü",b="\\""', ''])}} ${chance.of(['1', '0.5'])}${chance.of(['', ' 1700000000.123'])}`
        : ''
    return `${series} ${value}${time}${example}`
  }
  switch (type) {
    case 'counter':
      return [
        line(openmetrics ? '_total' : '', chance.of(COUNTS), [], true),
        ...(openmetrics && chance.yes(0.5) ? [line('_created', '1700000000.5')] : []),
      ]
    case 'histogram':
    case 'gaugehistogram': {
      let count = 0
      const bounds = ['0.1', '0.5', '1', '2.5', '1e+06'].slice(0, chance.below(6))
      const buckets = [...bounds, '+Inf'].map(le => {
        count += chance.below(5)
        return line('_bucket', String(count), [`le="${le}"`], true)
      })
      const [sum, total] = type === 'histogram' ? ['_sum', '_count'] : ['_gsum', '_gcount']
      return [...buckets, line(sum, '1.5'), line(total, String(chance.yes(0.95) ? count : count + 1))]
    }
    case 'summary':
      return [
        ...['0.5', '0.9', '1'].slice(0, chance.below(4)).map(q => line('', chance.of(NUMBERS), [`quantile="${q}"`])),
        line('_sum', chance.of(['1.5', '-2', '0'])),
        line('_count', chance.of(COUNTS)),
      ]
    case 'info':
      return [line('_info', '1')]
    case 'stateset':
      return quoted ? [line('', '1')] : [line('', '1', [`${name.replace(/:/g, '_')}="on"`])]
    default:
      return [line('', chance.of(NUMBERS))]
  }
}

/** Labels of which no two sets of a family are the same. */
function labels(chance: Chance, place: number): string[] {
  const names = LABELS.filter(() => chance.yes(0.3))
  const own = [`i="${place}"`, ...names.map(name => `${name}="${escaped(chance.of(VALUES))}"`)]
  if (chance.yes(0.05)) own.push(`"dotted.label"="${escaped(chance.of(VALUES))}"`)
  return own.sort(() => chance.next() - 0.5)
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}

/** The page with a few of its bytes or lines changed, removed, doubled or moved. */
export function broken(chance: Chance, whole: string): Buffer {
  let bytes = Buffer.from(whole)
  for (let i = chance.below(4) + 1; i > 0; i--) {
    const at = chance.below(bytes.length + 1)
    const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)]
    switch (chance.below(7)) {
      case 0:
        bytes = Buffer.concat([before, after.subarray(1)])
        break
      case 1:
        bytes = Buffer.concat([before, Buffer.from([chance.below(256)]), after])
        break
      case 2:
        bytes = Buffer.concat([before, Buffer.from([chance.below(256)]), after.subarray(1)])
        break
      case 3:
        bytes = Buffer.concat([
          before,
          Buffer.from(
            chance.of([
              '"',
              '{',
              '}',
              ',',
              '\\',
              '\n',
              ' ',
              '#',
              '=',
              '\r',
              '# EOF\n',
              '# TYPE a counter\n',
              '# TYPE a_total histogram\n',
              'a 1\n',
              'a_bucket 1\n',
              'le="1"',
              '-',
              'e',
              '9',
            ]),
          ),
          after,
        ])
        break
      default: {
        const lines = bytes.toString('latin1').split('\n')
        const [one, other] = [chance.below(lines.length), chance.below(lines.length)]
        if (chance.yes(0.5)) lines.splice(one, chance.below(2), lines[other]!)
        else [lines[one], lines[other]] = [lines[other]!, lines[one]!]
        bytes = Buffer.from(lines.join('\n'), 'latin1')
      }
    }
  }
  return bytes
}
