// The search form and TraceQL: the form writes a query, and reads back the queries that it could have written, so that
// a link to a query fills the form. Any other query is left to the field for TraceQL.

export interface Form {
  readonly service: string
  readonly name: string
  /** Durations of the trace, as TraceQL spells them: 100ms. */
  readonly min: string
  readonly max: string
  readonly errors: boolean
  /** Attributes that a span must have: key=value, separated by blanks; values with blanks in quotes. */
  readonly tags: string
}

export const EMPTY: Form = { service: '', name: '', min: '', max: '', errors: false, tags: '' }

export function queryOf(form: Form): string {
  const conditions = [
    ...(form.service === '' ? [] : [`resource.service.name = ${quoted(form.service)}`]),
    ...(form.name === '' ? [] : [`name = ${quoted(form.name)}`]),
    ...tagsOf(form.tags).map(([key, value]) => `${attribute(key)} = ${literal(value)}`),
    ...(form.errors ? ['status = error'] : []),
    ...(form.min.trim() === '' ? [] : [`traceDuration >= ${form.min.trim()}`]),
    ...(form.max.trim() === '' ? [] : [`traceDuration <= ${form.max.trim()}`]),
  ]
  return conditions.length === 0 ? '' : `{ ${conditions.join(' && ')} }`
}

/** The form that writes this query; undefined if none does. */
export function formOf(query: string): Form | undefined {
  const inner = /^\s*\{([\s\S]*)\}\s*$/.exec(query)?.[1]
  if (query.trim() === '' || inner?.trim() === '') return EMPTY
  if (inner === undefined) return undefined
  const form = { ...EMPTY }
  const tags: string[] = []
  let rest = inner.trim()
  for (;;) {
    const found = CONDITION.exec(rest)
    if (!found) return undefined
    const { field = '', operator = '', value = '' } = found.groups ?? {}
    const content = unquoted(value)
    if (field === 'traceDuration' && operator !== '=' && /^[\d.]/.test(value)) {
      const key = operator === '>=' ? 'min' : 'max'
      if (form[key] !== '') return undefined
      form[key] = value
    } else if (operator !== '=') return undefined
    else if (field === 'resource.service.name' && form.service === '' && content !== undefined) form.service = content
    else if (field === 'name' && form.name === '' && content !== undefined) form.name = content
    else if (field === 'status' && value === 'error' && !form.errors) form.errors = true
    else if (field.startsWith('.')) {
      const key = field.startsWith('."') ? unquoted(field.slice(1)) : field.slice(1)
      const plain = content ?? value
      if (key === undefined || key === '') return undefined
      tags.push(`${/[\s="\\]/.test(key) ? quoted(key) : key}=${tagValue(plain, content !== undefined)}`)
    } else return undefined
    rest = rest.slice(found[0].length)
    const and = /^\s*&&\s*/.exec(rest)
    if (!and) break
    rest = rest.slice(and[0].length)
  }
  if (rest.trim() !== '') return undefined
  return { ...form, tags: tags.join(' ') }
}

const CONDITION =
  /^(?<field>resource\.service\.name|traceDuration|name|status|\.(?:"(?:[^"\\]|\\.)*"|[\w.\-/]+))\s*(?<operator>>=|<=|=)\s*(?<value>"(?:[^"\\]|\\.)*"|[\w.µ-]+)/

/**
 * The pairs of a text such as `http.route=/pay customer="John Doe"`. Anything else is looked for as an attribute
 * of that value.
 */
export function tagsOf(text: string): (readonly [key: string, value: string])[] {
  return [...text.matchAll(/("(?:[^"\\]|\\.)*"|[^\s="]+)=("(?:[^"\\]|\\.)*"|\S*)/g)].map(
    ([, key = '', value = '']) => [unquoted(key) ?? key, value] as const,
  )
}

/** A value of the form: what is in quotes is text, a number or true and false are themselves. */
function literal(value: string): string {
  const text = unquoted(value)
  if (text !== undefined) return quoted(text)
  return PLAIN.test(value) ? value : quoted(value)
}

const PLAIN = /^(?:-?\d{1,15}(?:\.\d{1,15})?|true|false)$/

function tagValue(value: string, text: boolean): string {
  return (text && PLAIN.test(value)) || /[\s"\\]/.test(value) || value === '' ? quoted(value) : value
}

function attribute(key: string): string {
  return /^[A-Za-z_][\w.\-/]*$/.test(key) ? `.${key}` : `.${quoted(key)}`
}

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&').replace(/\n/g, '\\n')}"`
}

function unquoted(text: string): string | undefined {
  if (!/^"(?:[^"\\]|\\.)*"$/s.test(text)) return undefined
  return text.slice(1, -1).replace(/\\(.)/gs, (_, each: string) => (each === 'n' ? '\n' : each))
}

// Completion

export interface Completion {
  /** `tags`: keys of attributes, `values`: those of `tag`. */
  readonly kind: 'tags' | 'values'
  readonly tag: string
  /** The text before the cursor that is being written, and where it begins and ends. */
  readonly prefix: string
  readonly from: number
  readonly to: number
}

/**
 * The word to be completed at the cursor of a query of TraceQL; undefined outside of a `{ … }` or inside a word that
 * is complete.
 */
export function completion(query: string, cursor: number): Completion | undefined {
  const before = query.slice(0, cursor)
  const open = Math.max(before.lastIndexOf('{'), -1)
  if (open < 0) return undefined
  const inside = before.slice(open + 1)
  const value = /(?<tag>[A-Za-z.][\w.\-:/"]*)\s*(?:!=|=~|!~|>=|<=|=|>|<)\s*(?<prefix>"(?:[^"\\]|\\.)*|[\w.-]*)$/.exec(
    inside,
  )
  if (value?.groups) {
    const { tag = '', prefix = '' } = value.groups
    return { kind: 'values', tag, prefix, from: cursor - prefix.length, to: cursor }
  }
  if (inside.includes('}') || (inside.split('"').length & 1) === 0) return undefined
  const prefix = /[A-Za-z.][\w.\-:/]*$/.exec(inside)?.[0] ?? ''
  // A name may begin here only behind an operator, a parenthesis, or at the beginning.
  if (!/(?:^|&&|\|\||\(|!)\s*$/.test(inside.slice(0, inside.length - prefix.length))) return undefined
  return { kind: 'tags', tag: '', prefix, from: cursor - prefix.length, to: cursor }
}

/** The query with a suggestion put in, and where the cursor then stands. */
export function completed(
  query: string,
  { from, to, kind }: Completion,
  choice: string,
): { query: string; cursor: number } {
  const inserted = kind === 'tags' ? `${choice} = ` : choice
  return { query: query.slice(0, from) + inserted + query.slice(to), cursor: from + inserted.length }
}

/** A value as a query spells it, by the type that the sidecar answers for it. */
export function spelled(type: string, value: string): string {
  return type === 'string' ? quoted(value) : value
}

/** Where a query is wrong, from the sidecar's answer; undefined if it names no place. Both count from 1. */
export function placeOf(message: string): { line: number; column: number; reason: string } | undefined {
  const found = /line (\d+), col (\d+): ([\s\S]*)$/.exec(message)
  return found ? { line: Number(found[1]), column: Number(found[2]), reason: found[3]!.trim() } : undefined
}
