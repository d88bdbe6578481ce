// A query as Tempo prints it: the canonical form, which names spansets' attributes in answers (`by(resource.service.name)`,
// `avg(duration)`) and lets two parsers be compared.

import { durationText, floatText, type Static } from './static.ts'
import type { Aggregate, Attribute, Field, Metrics, Query, Second, Stage } from './tree.ts'

export function queryText(query: Query): string {
  const { pipeline, metrics, seconds, hints } = query
  let text = pipeline.stages.map(stageText).join('|')
  if (metrics) text += ` | ${metricsText(metrics)}`
  for (const second of seconds) text += secondText(second)
  if (hints.length) text += ` with(${hints.map(({ name, value }) => `${name}=${staticText(value)}`).join(',')})`
  return text
}

export function stageText(stage: Stage): string {
  switch (stage.kind) {
    case 'filter':
      return `{ ${fieldText(stage.field)} }`
    case 'operation':
      return `(${stageText(stage.left)}) ${stage.operator} (${stageText(stage.right)})`
    case 'pipeline':
      return stage.stages.map(stageText).join('|')
    case 'scalar filter':
      return `(${aggregateText(stage.aggregate)}) ${stage.operator} ${staticText(stage.value)}`
    case 'by':
      return `by(${fieldText(stage.field)})`
    case 'coalesce':
      return 'coalesce()'
    case 'select':
      return `select(${stage.attributes.map(attributeText).join(', ')})`
  }
}

export function aggregateText({ name, field }: Aggregate): string {
  return `${name}(${field ? fieldText(field) : ''})`
}

export function fieldText(field: Field): string {
  switch (field.kind) {
    case 'constant':
      return staticText(field.value)
    case 'binary':
      return `${wrapped(field.left)} ${field.operator} ${wrapped(field.right)}`
    case 'unary':
      if (field.operator === 'exists') return `${wrapped(field.field)} != nil`
      if (field.operator === 'absent') return `${wrapped(field.field)} = nil`
      return field.operator + wrapped(field.field)
    default:
      return attributeText(field)
  }
}

function wrapped(field: Field): string {
  const simple = field.kind !== 'binary' && field.kind !== 'unary'
  return simple ? fieldText(field) : `(${fieldText(field)})`
}

export function attributeText(attribute: Attribute): string {
  if (attribute.kind === 'intrinsic') return attribute.name
  const { scope, parent, name } = attribute
  const scopes = [...(parent ? ['parent'] : []), ...(scope === 'none' ? [] : [scope])]
  const plain = !/[\s\u0085{}()=~!<>&|^,"]/u.test(name)
  return `${scopes.join('.')}.${plain ? name : `"${name.replace(/["\\]/g, '\\$&')}"`}`
}

export function metricsText(metrics: Metrics): string {
  if (metrics.kind === 'compare') return `compare(${stageText(metrics.filter)})`
  const { name, attribute, quantiles, by } = metrics
  const inside = [attribute ? attributeText(attribute) : '', ...quantiles.map(each => each.toFixed(5))].join(',')
  return `${name}(${inside})${by.length ? `by(${by.map(attributeText).join(',')})` : ''}`
}

function secondText(second: Second): string {
  if (second.kind === 'comparison') return ` ${second.operator} ${staticText(second.value)}`
  return ` | ${second.kind}(${second.limit})`
}

/** As it can stand in a query. */
export function staticText(value: Static): string {
  return value.type === 'string' ? `\`${value.value}\`` : valueText(value)
}

/** As people read it: strings without quotes. */
export function valueText(value: Static): string {
  switch (value.type) {
    case 'nil':
      return 'nil'
    case 'float':
      return floatText(value.value)
    case 'duration':
      return durationText(value.value)
    case 'array':
      return `[${value.value.map(staticText).join(', ')}]`
    default:
      return String(value.value)
  }
}
