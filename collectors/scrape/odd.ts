// The lines that are rare: names in quotes, spaces between labels. They are read once more, as strings, when they are
// written.
//
//   series = name [ "{" [ label *( "," label ) [ "," ] ] "}" ]      label = ( name | string ) "=" string
//          | "{" string *( "," label ) [ "," ] "}"                   the string is the name of the metric

import { unescaped } from '../../metrics/labels.ts'

export interface OddSeries {
  readonly name: string
  readonly labels: readonly (readonly [name: string, value: string])[]
  /** Where it ends in the text. */
  readonly end: number
}

const NAME = /[a-zA-Z_:][a-zA-Z0-9_:]*/y
const LABEL = /[a-zA-Z_][a-zA-Z0-9_]*/y
const STRING = /"((?:[^"\\\n]|\\[\\"n])*)"/y
const SPACE = /[ \t]*/y

/** Reads a series at the beginning of a text, whose characters are bytes (Latin-1). */
export function readSeries(text: string): OddSeries | undefined {
  let at = 0
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    const found = pattern.exec(text)
    if (!found) return undefined
    at = pattern.lastIndex
    return found[1] ?? found[0]
  }
  const string = (): string | undefined => {
    const found = take(STRING)
    return found === undefined ? undefined : unescaped(utf8(found))
  }
  let name = take(NAME)
  const named = at
  take(SPACE)
  if (text[at] !== '{') return name === undefined ? undefined : { name, labels: [], end: named }
  at++
  const labels: [string, string][] = []
  for (let first = true; ; first = false) {
    take(SPACE)
    if (text[at] === '}') break
    if (!first) {
      if (text[at] !== ',') return undefined
      at++
      take(SPACE)
      if (text[at] === '}') break
    }
    const quoted = string()
    const label = quoted ?? take(LABEL)
    if (label === undefined) return undefined
    take(SPACE)
    if (text[at] === '=') {
      at++
      take(SPACE)
      const value = string()
      if (value === undefined || label === '') return undefined
      labels.push([label, value])
    } else {
      if (!first || quoted === undefined || name !== undefined) return undefined
      name = quoted
    }
  }
  return name === undefined || name === '' ? undefined : { name, labels, end: at + 1 }
}

function utf8(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString()
}
