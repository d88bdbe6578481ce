// Names by the rules of OpenTelemetry and Prometheus (specification/compatibility/prometheus_and_openmetrics.md),
// translation strategy UnderscoreEscapingWithSuffixes: http.server.duration in ms becomes
// http_server_duration_milliseconds.
//
// Dashboards are written for the names that Prometheus and the Collector use, so these are the same, with their
// oddities (tibibytes, per_min): those of github.com/prometheus/otlptranslator 1.0, with which names.test.ts compares.

/** The kinds of metrics that have suffixes of their own: gauges, monotonic sums, and all others. */
export type NamedKind = 'gauge' | 'counter' | 'other'

/** The name of a metric's family, and its unit in words; the name is "" if nothing of it can be kept. */
export function metricName(name: string, unit: string, kind: NamedKind): { name: string; unit: string } {
  if (name === '') return { name: '', unit: '' }
  // Splitting drops empty parts, so runs of underscores become one.
  let tokens = name.split(/[^a-zA-Z0-9:]+/).filter(token => token !== '')
  const [main, per] = unitWords(unit)
  // A unit that the name already has as one of its words is not repeated.
  const addedPer = tokens.includes(per) ? '' : per
  const addedMain = tokens.includes(main) ? '' : addedPer === '' ? main : untailed(main)
  tokens.push(...[addedMain, addedPer].filter(words => words !== ''))
  if (kind === 'counter') tokens = [...tokens.filter(token => token !== 'total'), 'total']
  // Many instruments that count things have the unit 1, so only gauges become ratios.
  if (kind === 'gauge' && unit === '1') tokens = [...tokens.filter(token => token !== 'ratio'), 'ratio']
  const joined = tokens.join('_')
  return {
    name: /^\d/.test(joined) ? `_${joined}` : joined,
    unit: untailed([main, per].filter(words => words !== '').join('_')),
  }
}

/** The name of a label. Names that begin with two underscores belong to Prometheus, so no key becomes one. */
export function labelName(key: string): string {
  const name = key.replace(/[^a-zA-Z0-9]+/g, '_')
  if (/^\d/.test(name)) return `key_${name}`
  return name.startsWith('_') ? `key${name}` : name
}

/** "By/s" → ["bytes", "per_second"]; a part with braces is an annotation, which adds nothing. */
function unitWords(unit: string): [main: string, per: string] {
  const slash = unit.indexOf('/')
  const [above, below] = slash < 0 ? [unit, ''] : [unit.slice(0, slash), unit.slice(slash + 1)]
  const main = word(above, UNITS)
  const per = word(below, PER)
  const cleanPer = per === '' ? '' : untailed(clean(`per_${per}`))
  return [clean(main), cleanPer === 'per' ? '' : cleanPer]
}

function word(part: string, known: ReadonlyMap<string, string>): string {
  const text = part.trim()
  return /[{}]/.test(text) ? '' : (known.get(text) ?? text)
}

/** Replaces each run of characters that a name cannot have by an underscore, and drops one at the beginning. */
function clean(words: string): string {
  return words.replace(/[^a-zA-Z0-9:]+/g, '_').replace(/^_/, '')
}

function untailed(words: string): string {
  return words.replace(/_$/, '')
}

const UNITS: ReadonlyMap<string, string> = new Map([
  ...pairs('d days, h hours, min minutes, s seconds, ms milliseconds, us microseconds, ns nanoseconds'),
  ...pairs('By bytes, KiBy kibibytes, MiBy mebibytes, GiBy gibibytes, TiBy tibibytes'),
  ...pairs('KBy kilobytes, MBy megabytes, GBy gigabytes, TBy terabytes'),
  ...pairs('m meters, V volts, A amperes, J joules, W watts, g grams, Cel celsius, Hz hertz, % percent'),
  ['1', ''],
])
const PER: ReadonlyMap<string, string> = new Map(pairs('s second, m minute, h hour, d day, w week, mo month, y year'))

function pairs(text: string): [string, string][] {
  return text.split(', ').map(pair => {
    const [unit = '', word = ''] = pair.split(' ')
    return [unit, word]
  })
}
