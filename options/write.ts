// A value back as it would be written, for documents and print-config.

import { isList, type Kind } from './kinds.ts'
import type { Leaf } from './names.ts'

export type Scalar = string | number | boolean

/** What stands in YAML for the value; undefined is an option that is not set and has no default. */
export function written(leaf: Leaf, value: unknown): Scalar | readonly Scalar[] | undefined {
  if (isList(leaf)) return Array.isArray(value) ? value.map(each => scalar(leaf.item as Kind<unknown>, each)) : [] // a leaf's items are scalars
  if (value === undefined && !leaf.write) return undefined
  return scalar(leaf, value)
}

/** The default as one text: "10s", "a, b", or nothing; nothing too for a secret. */
export function defaultText(leaf: Leaf): string {
  if (isSecret(leaf)) return ''
  const value = written(leaf, leaf.default)
  return value === undefined ? '' : [value].flat().join(', ')
}

export function isSecret(leaf: Leaf): boolean {
  return Boolean(leaf.secret || (isList(leaf) && 'secret' in leaf.item && leaf.item.secret))
}

function scalar(kind: Kind<unknown>, value: unknown): Scalar {
  return kind.write ? kind.write(value) : (value as Scalar) // kinds whose values are no scalars have a write()
}
