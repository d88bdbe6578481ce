// The search form from before TraceQL (tags=, minDuration=, maxDuration=), as a query of TraceQL.

import { BadQuery } from '../../../traceql/reading.ts'
import { durationNanos, type Params, shown } from './params.ts'

const MOST_TAGS = 50

/** The query that the parameters stand for: their TraceQL, or one made of the form. */
export function queryOf(params: Params): string {
  const [q, tags] = [params.text('q'), params.text('tags')]
  const conditions = [
    ...(tags === undefined ? [] : pairs(tags).map(condition)),
    ...bound(params, 'minDuration', '>='),
    ...bound(params, 'maxDuration', '<='),
  ]
  if (q === undefined) return `{ ${conditions.join(' && ')} }`
  if (conditions.length > 0)
    throw new BadQuery('invalid request: send q, or tags and minDuration and maxDuration, not both')
  return q
}

function bound(params: Params, name: string, operator: string): string[] {
  const text = params.text(name)
  if (text === undefined) return []
  const nanos = durationNanos(text)
  if (Number.isNaN(nanos)) throw new BadQuery(`invalid ${name}: must be a duration such as 100ms, not ${shown(text)}`)
  return nanos === 0 ? [] : [`traceDuration ${operator} ${Math.round(nanos)}ns`]
}

/** logfmt: key=value key="quoted value" … */
function pairs(text: string): [string, string][] {
  const found: [string, string][] = []
  let at = 0
  for (
    const token = /\s*([^\s="]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s"]*))(?=\s|$)/y;
    at < text.length;
    at = token.lastIndex
  ) {
    token.lastIndex = at
    const match = token.exec(text)
    if (!match) {
      if (text.slice(at).trim() === '') break
      throw new BadQuery(`invalid tags: must be key=value pairs, not ${shown(text.slice(at).trim())}`)
    }
    const [, key = '', quoted, plain = ''] = match
    found.push([key, quoted === undefined ? plain : quoted.replace(/\\(.)/g, '$1')])
  }
  if (found.length > MOST_TAGS) throw new BadQuery(`invalid tags: ${found.length} pairs, and ${MOST_TAGS} are the most`)
  return found
}

const STATUS = /^(?:ok|error|unset)$/

function condition([key, value]: [string, string]): string {
  const text = JSON.stringify(value)
  switch (key) {
    case 'name':
    case 'span.name':
      return `name = ${text}`
    case 'root.name':
      return `rootName = ${text}`
    case 'root.service.name':
      return `rootServiceName = ${text}`
    case 'service.name':
      return `resource.service.name = ${text}`
    case 'status':
    case 'status.code':
      if (STATUS.test(value)) return `status = ${value}`
      break
    case 'error':
      if (value === 'true') return 'status = error'
      break
  }
  const attribute = `."${key.replace(/["\\]/g, '\\$&')}"`
  // The form knows no types, so a number is looked for as a number too.
  const other = /^-?\d{1,15}(?:\.\d{1,15})?$/.test(value) || value === 'true' || value === 'false'
  return other ? `(${attribute} = ${text} || ${attribute} = ${value})` : `${attribute} = ${text}`
}
