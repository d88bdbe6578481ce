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
        description: `A text with \${env:NAME} or \${env:NAME:-default} in it.`,
        type: 'string',
        pattern: '\\$\\{env:[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\\}',
      },
    },
  }
}

function node(field: Field): Json {
  if (isSection(field)) {
    const properties = Object.fromEntries(Object.entries(field.fields).map(([name, each]) => [name, node(each)]))
    // A section with all its lines commented out is null.
    return { description: field.about, type: ['object', 'null'], properties, additionalProperties: false }
  }
  const fallback = written(field, field.default)
  const described = {
    description: `${field.about} Expected: ${field.expects}.`,
    ...(fallback === undefined || isSecret(field) ? {} : { default: fallback }),
  }
  if (!isList(field)) return { ...described, ...value(field) }
  return { ...described, type: 'array', items: isSection(field.item) ? node(field.item) : value(field.item) }
}

/** Whatever a text must look like, `${env:NAME}` may stand in its place. */
function value(leaf: Leaf): Json {
  const free = Object.keys(leaf.json).length === 1 && leaf.json['type'] === 'string'
  return free ? leaf.json : { anyOf: [leaf.json, { $ref: '#/$defs/reference' }] }
}
