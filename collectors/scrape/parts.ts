// The parts of a family that was read as text, in each of the formats: OpenMetrics knows types that the others do not.

import type { Format } from '../../metrics/format.ts'
import type { ScrapedFamily, ScrapedType } from './families.ts'
import type { Scanner } from './scanner.ts'

/** A part of a family with a head of its own. */
export interface Part {
  readonly name: string
  readonly type: ScrapedType
  /** The names of its samples; undefined for all of the family's. */
  readonly names: ReadonlySet<number> | undefined
}

export function partsOf(family: ScrapedFamily, format: Format, { families, openmetrics }: Scanner): readonly Part[] {
  const { name, type, names } = family
  const each = (as: ScrapedType): Part[] =>
    names.map(place => ({
      name: families.names[place]!.text,
      type: as,
      names: names.length > 1 ? new Set([place]) : undefined,
    }))
  if (family.unfit === 'yes' || (family.unfit === 'strictly' && format !== 'text')) return each('unknown')
  switch (type) {
    case 'gauge':
    case 'unknown':
      return [{ name, type, names: undefined }]
    case 'counter': {
      const full = openmetrics ? `${name}_total` : name
      if (format === 'openmetrics' && !full.endsWith('_total')) return [{ name, type: 'unknown', names: undefined }]
      return withCreated({ name: full, type, names: undefined }, `${name}_created`)
    }
    case 'histogram':
    case 'summary':
      return withCreated({ name, type, names: undefined }, `${name}_created`)
    case 'gaugehistogram':
      // In protobuf Prometheus would call its series otherwise: _count and _sum.
      return format === 'openmetrics' ? [{ name, type, names: undefined }] : each('unknown')
    case 'info':
      return format === 'openmetrics'
        ? [{ name, type, names: undefined }]
        : [{ name: `${name}_info`, type: 'gauge', names: undefined }]
    case 'stateset':
      return [{ name, type: format === 'openmetrics' ? type : 'gauge', names: undefined }]
  }

  /** The older format has no start times: they are a family of their own. */
  function withCreated(part: Part, createdName: string): Part[] {
    const created = names.filter(place => families.names[place]!.role === '_created')
    if (format !== 'text' || created.length === 0) return [part]
    const rest = names.filter(place => !created.includes(place))
    return [
      { ...part, names: new Set(rest) },
      { name: createdName, type: 'gauge', names: new Set(created) },
    ]
  }
}
