// The options in effect as YAML that can be read back, with the source of each value in a comment. Secrets, and the userinfo
// and query of URLs, are redacted.

import { type Field, type Fields, isList, isSection, type Section } from './kinds.ts'
import type { Leaf } from './names.ts'
import { withoutSecrets } from './opaque.ts'
import { isSecret, type Scalar, written } from './write.ts'

export interface Settled {
  readonly values: unknown
  readonly origins: ReadonlyMap<string, string>
}

export function printConfig(schema: Section<Fields>, { values, origins }: Settled): string {
  const lines: Line[] = []
  table(schema, values, '', '', lines)
  const width = Math.min(60, Math.max(0, ...lines.map(line => (line.origin ? line.text.length : 0))))
  return lines
    .map(({ text, origin }) => (origin ? `${text.padEnd(width)}  # ${origin}` : text))
    .map(each => `${each}\n`)
    .join('')

  function table(section: Section<Fields>, value: unknown, path: string, indent: string, into: Line[]): void {
    for (const [name, field] of Object.entries(section.fields)) {
      const below = path ? `${path}.${name}` : name
      one(name, field, (value as Record<string, unknown>)[name], below, indent, into) // a section's value has its fields
    }
  }

  function one(name: string, field: Field, value: unknown, path: string, indent: string, into: Line[]): void {
    if (isSection(field)) {
      into.push({ text: `${indent}${name}:` })
      table(field, value, path, `${indent}  `, into)
    } else if (isList(field) && isSection(field.item)) {
      items(name, field.item, value as readonly unknown[], path, indent, into) // as read.ts made it
    } else into.push({ text: indent + leaf(name, field, value), origin: origins.get(path) ?? 'default' })
  }

  function items(
    name: string,
    item: Section<Fields>,
    values: readonly unknown[],
    path: string,
    indent: string,
    into: Line[],
  ): void {
    into.push({ text: `${indent}${name}:${values.length ? '' : ' []'}` })
    for (const [index, value] of values.entries()) {
      into.push({ text: `${indent}  -` })
      table(item, value, `${path}[${index}]`, `${indent}    `, into)
    }
  }
}

interface Line {
  readonly text: string
  readonly origin?: string
}

function leaf(name: string, kind: Leaf, value: unknown): string {
  const plain = written(kind, value)
  if (plain === undefined) return `# ${name}: not set`
  const shown = (each: Scalar): string => (isSecret(kind) ? '"[redacted]"' : scalar(each))
  return `${name}: ${typeof plain === 'object' ? `[${plain.map(shown).join(', ')}]` : shown(plain)}`
}

/** JSON strings are valid YAML; only strings that no reader could take for another type are written without quotes. */
function scalar(value: Scalar): string {
  if (typeof value !== 'string') return String(value)
  const visible = withoutSecrets(value).replaceAll(/\$(?=[${])/g, '$$$$')
  return BARE.test(visible) && !RESERVED.test(visible) ? visible : quoted(visible)
}

function quoted(text: string): string {
  // JSON does not escape some characters that a terminal interprets or YAML takes for the end of a line.
  return JSON.stringify(text).replaceAll(/[\p{Cc}\p{Zl}\p{Zp}\p{Cf}]/gu, each =>
    Array.from({ length: each.length }, (_, i) => `\\u${each.charCodeAt(i).toString(16).padStart(4, '0')}`).join(''),
  )
}

const BARE = /^[A-Za-z0-9_./][A-Za-z0-9_./:-]*$/
// YAML 1.2 or 1.1 reads these as null, a boolean, a number, a time or a date; a colon at the end makes a key.
const RESERVED =
  /^(?:null|true|false|yes|no|on|y|n|[.\d][\d._]*(?:e[-+]?\d+)?|0[xob][\da-f_]+|\d+(?::\d+)+|\d{4}-\d.*|\.inf|\.nan)$|:$/i
