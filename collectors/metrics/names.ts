// Names by the rules of OpenTelemetry and Prometheus (specification/compatibility/prometheus_and_openmetrics.md),
// translation strategy UnderscoreEscapingWithSuffixes: http.server.duration in ms becomes http_server_duration_milliseconds.

import type { ImportedType } from '../../exporter/metrics.ts'

/** The name of a metric's family and its unit as words; name is "" if nothing of it can be kept. */
export function metricName(name: string, unit: string, type: ImportedType): { name: string; unit: string } {
  // Splitting drops empty parts, so runs of underscores become one.
  let tokens = name.split(/[^a-zA-Z0-9:]+/).filter(token => token !== '')
  if (tokens.length === 0) return { name: '', unit: '' }
  const [main, per] = unitWords(unit)
  // A unit that the name already has as one of its words is not said twice.
  for (const words of [main, per]) if (words !== '' && !tokens.includes(words)) tokens.push(words)
  if (type === 'counter') tokens = [...tokens.filter(token => token !== 'total'), 'total']
  // Of counts the unit 1 is used loosely; a gauge with it is a ratio.
  if (type === 'gauge' && unit === '1') tokens = [...tokens.filter(token => token !== 'ratio'), 'ratio']
  const joined = tokens.join('_')
  return { name: /^\d/.test(joined) ? `_${joined}` : joined, unit: [main, per].filter(words => words !== '').join('_') }
}

/** The name of a label. Two underscores at the beginning are Prometheus' own, so they do not survive. */
export function labelName(key: string): string {
  const name = key.replace(/[^a-zA-Z0-9]+/g, '_')
  if (/^\d/.test(name)) return `key_${name}`
  return name.startsWith('_') ? `key${name}` : name
}

/** "By/s" → ["bytes", "per_second"]; what stands in braces is an annotation and says nothing. */
function unitWords(unit: string): [main: string, per: string] {
  const slash = unit.indexOf('/')
  const [above, below] = slash < 0 ? [unit, ''] : [unit.slice(0, slash), unit.slice(slash + 1)]
  const main = words(above, UNITS)
  const per = words(below, PER)
  return [main, per === '' ? '' : `per_${per}`]
}

function words(part: string, known: ReadonlyMap<string, string>): string {
  const text = part.trim()
  if (/[{}]/.test(text)) return ''
  return known.get(text) ?? text.replace(/[^a-zA-Z0-9:]+/g, '_').replace(/^_|_$/g, '')
}

const UNITS: ReadonlyMap<string, string> = new Map([
  ...pairs('d days, h hours, min minutes, s seconds, ms milliseconds, us microseconds, ns nanoseconds'),
  ...pairs('By bytes, KiBy kibibytes, MiBy mebibytes, GiBy gibibytes, TiBy tebibytes'),
  // UCUM writes kBy; KBy is what many instruments write.
  ...pairs('kBy kilobytes, KBy kilobytes, MBy megabytes, GBy gigabytes, TBy terabytes'),
  ...pairs('m meters, V volts, A amperes, J joules, W watts, g grams, Cel celsius, Hz hertz, % percent'),
  ['1', ''],
])
const PER: ReadonlyMap<string, string> = new Map(
  pairs('s second, m minute, min minute, h hour, d day, w week, mo month, y year'),
)

function pairs(text: string): [string, string][] {
  return text.split(', ').map(pair => {
    const [unit = '', word = ''] = pair.split(' ')
    return [unit, word]
  })
}
