// What one source says: values that are already parsed and checked, each with its place. read.ts lays the layers over
// one another. Paths are keys of Maps, so that no name in a file can reach a prototype.

import { isList } from './kinds.ts'
import type { Leaf } from './names.ts'

export interface Given {
  readonly value: unknown
  /** "flag --app.url", "env PILLION_APP_URL", "file pillion.yaml:3:5". */
  readonly origin: string
}

export class Layer {
  readonly values = new Map<string, Given>()
  /** Path of each list of tables → the indexes that were named → how to name the place of an item in a message. */
  readonly items = new Map<string, Map<number, string>>()

  set(path: string, value: unknown, origin: string, place: string): void {
    this.values.set(path, { value, origin })
    for (const { index, 1: number } of path.matchAll(/\[(\d+)\]/g))
      this.item(path.slice(0, index), Number(number), place)
  }

  item(path: string, index: number, place: string): void {
    const known = this.items.get(path) ?? new Map<number, string>()
    if (!known.has(index)) known.set(index, place)
    this.items.set(path, known)
  }
}

export type Parsed = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly message: string }

/** Parses the text of a flag or a variable; lists are separated by commas, and an empty text is an empty list. */
export function parseText(leaf: Leaf, text: string): Parsed {
  if (!isList(leaf)) return parseOne(leaf, text)
  const values: unknown[] = []
  const parts = text.trim() === '' ? [] : text.split(',')
  for (const part of parts) {
    // A leaf's items are scalars: a list of tables is not a leaf.
    const one = parseOne(leaf.item as Leaf, part.trim())
    if (!one.ok) return { ok: false, message: parts.length > 1 ? `each part ${one.message}` : one.message }
    values.push(one.value)
  }
  return { ok: true, value: values }
}

/** Parses one scalar. A message quotes the value only where it may be seen. */
export function parseOne(leaf: Leaf, value: unknown, visible = true): Parsed {
  try {
    return { ok: true, value: leaf.parse(value) }
  } catch (error) {
    const hidden = leaf.secret || !visible
    return { ok: false, message: hidden || !(error instanceof Error) ? `must be ${leaf.expects}` : error.message }
  }
}
