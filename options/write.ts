// Values as they are written in YAML, for documents and print-config.

import { isList, type Kind } from './kinds.ts'
import type { Leaf } from './names.ts'

export type Scalar = string | number | boolean

/** The value as it is written in YAML; undefined if the option is not set and has no default. */
export function written(leaf: Leaf, value: unknown): Scalar | readonly Scalar[] | undefined {
  if (!isList(leaf)) return scalar(leaf, value)
  const item = leaf.item as Kind<unknown> // a leaf's items are scalars
  return Array.isArray(value) ? value.flatMap(each => scalar(item, each) ?? []) : []
}

/** The default as one string: "10s", "a, b"; empty if there is none, and for a secret. */
export function defaultText(leaf: Leaf): string {
  if (isSecret(leaf)) return ''
  const value = written(leaf, leaf.default)
  return value === undefined ? '' : [value].flat().join(', ')
}

export function isSecret(leaf: Leaf): boolean {
  return Boolean(leaf.secret || (isList(leaf) && 'secret' in leaf.item && leaf.item.secret))
}

function scalar(kind: Kind<unknown>, value: unknown): Scalar | undefined {
  return kind.write ? kind.write(value) : (value as Scalar | undefined) // kinds whose values are no scalars have a write()
}
