// The values of one source, already parsed and checked, each with its place. read.ts combines the layers. Paths are keys
// of Maps, so that no name in a file can reach a prototype.

import { isList } from './kinds.ts'
import type { Leaf } from './names.ts'
import type { Problem } from './problems.ts'
import { isSecret } from './write.ts'

export interface Given {
  readonly value: unknown
  /** "flag --app.url", "env PILLION_APP_URL", "file pillion.yaml:3:5". */
  readonly origin: string
}

export class Layer {
  readonly from: Problem['from']
  readonly values = new Map<string, Given>()
  /** Path of each option, list item and mapping in this source → the name of its place in messages. */
  readonly places = new Map<string, string>()
  /** Path of each list of mappings → the indexes that occur → the name of an item's place in messages. */
  readonly items = new Map<string, Map<number, string>>()

  constructor(from: Problem['from']) {
    this.from = from
  }

  set(path: string, value: unknown, origin: string, place: string): void {
    this.values.set(path, { value, origin })
    this.at(path, place)
    for (const { index, 1: number } of path.matchAll(/\[(\d+)\]/g))
      this.item(path.slice(0, index), Number(number), place)
  }

  item(path: string, index: number, place: string): void {
    const known = this.items.get(path) ?? new Map<number, string>()
    if (!known.has(index)) known.set(index, place)
    this.items.set(path, known)
    this.at(`${path}[${index}]`, place)
  }

  at(path: string, place: string): void {
    if (!this.places.has(path)) this.places.set(path, place)
  }
}

export type Parsed = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly message: string }

/** Parses the string of a flag or a variable; items of lists are separated by commas, and an empty string is an empty list. */
export function parseText(leaf: Leaf, text: string): Parsed {
  if (!isList(leaf)) return parseOne(leaf, text)
  const values: unknown[] = []
  const parts = text.trim() === '' ? [] : text.split(',')
  for (const part of parts) {
    // A leaf's items are scalars: a list of mappings is not a leaf.
    const one = parseOne(leaf.item as Leaf, part.trim())
    if (!one.ok) return { ok: false, message: parts.length > 1 ? `each part ${one.message}` : one.message }
    values.push(one.value)
  }
  return { ok: true, value: values }
}

/** Parses the value of an OTEL_ variable. */
export function parseStandard(leaf: Leaf, text: string): Parsed {
  if (!leaf.standard) return parseText(leaf, text)
  try {
    return { ok: true, value: leaf.standard(text) }
  } catch (error) {
    const hidden = isSecret(leaf) || !(error instanceof Error)
    return { ok: false, message: hidden ? `must be ${leaf.expects}` : error.message }
  }
}

/** Parses one scalar. The message quotes the value unless it is secret. */
export function parseOne(leaf: Leaf, value: unknown, visible = true): Parsed {
  try {
    return { ok: true, value: leaf.parse(value) }
  } catch (error) {
    const hidden = leaf.secret || !visible
    return { ok: false, message: hidden || !(error instanceof Error) ? `must be ${leaf.expects}` : error.message }
  }
}
