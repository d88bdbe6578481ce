// A sample value as Prometheus reads it: Go's ParseFloat, without hexadecimal digits and underscores.

/** The number of a text; undefined if it is none, or out of range. */
export function numberOf(text: string): number | undefined {
  if (DECIMAL.test(text)) {
    const value = Number(text)
    return Number.isFinite(value) ? value : undefined
  }
  if (/^[+-]?nan$/i.test(text)) return text.length === 3 ? Number.NaN : undefined
  if (/^[+-]?inf(?:inity)?$/i.test(text))
    return text.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
  return undefined
}

const DECIMAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/

/**
 * A bound of a histogram, or a quantile, as OpenMetrics wants it and as Prometheus 3 spells the label: a float in Go's
 * shortest form ("1.0", "1e+06").
 */
export function boundText(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf'
  const [digits = '', power = ''] = value.toExponential().split('e')
  const exponent = Number(power)
  if (value !== 0 && (exponent < -4 || exponent >= 6)) {
    const size = String(Math.abs(exponent)).padStart(2, '0')
    return `${digits}e${exponent < 0 ? '-' : '+'}${size}`
  }
  const text = String(value)
  return text.includes('.') ? text : `${text}.0`
}

/** Whether all formats spell it so. */
export function isPlain(text: string): boolean {
  return PLAIN.test(text)
}

const PLAIN = /^(?:-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|NaN|[+-]Inf)$/
