// The JSON Schema of pillion.yaml, for editors and for checks before a deployment.

import { type Field, type Fields, isList, isSection, type Section } from './kinds.ts'
import type { Leaf } from './names.ts'
import { isSecret, written } from './write.ts'

type Json = Readonly<Record<string, unknown>>

export function jsonSchema(schema: Section<Fields>): Json {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'pillion.yaml',
    ...node(schema),
    $defs: {
      reference: {
        description: `A string with \${env:NAME} or \${env:NAME:-default} in it.`,
        type: 'string',
        pattern: '\\$\\{env:[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\\}',
      },
    },
  }
}

function node(field: Field, above = false): Json {
  const live = above || field.live === true
  if (isSection(field)) {
    const properties = Object.fromEntries(Object.entries(field.fields).map(([name, each]) => [name, node(each, live)]))
    // A section whose lines are all commented out is null.
    return { description: field.about, type: ['object', 'null'], properties, additionalProperties: false }
  }
  const fallback = written(field, field.default)
  const described = {
    description: `${field.about} Expected: ${field.expects}.${live ? ' Takes effect without a restart.' : ''}`,
    ...(fallback === undefined || isSecret(field) ? {} : { default: fallback }),
  }
  if (!isList(field)) return { ...described, ...value(field) }
  return { ...described, type: 'array', items: isSection(field.item) ? node(field.item, live) : value(field.item) }
}

/** `${env:NAME}` is allowed in place of any string, whatever pattern the string must match. */
function value(leaf: Leaf): Json {
  const free = Object.keys(leaf.json).length === 1 && leaf.json['type'] === 'string'
  return free ? leaf.json : { anyOf: [leaf.json, { $ref: '#/$defs/reference' }] }
}
