// The label text of a series, `name="value",name="value"` without braces, as both text formats write it. It is made
// once per series and kept; the protobuf format, which is scraped less often, takes it apart again.

import { escapeLabel } from './page.ts'

/** The text of labels in the order given. A label with an empty value is the same as no label, so it is left out. */
export function labelText(pairs: Iterable<readonly [name: string, value: string]>): string {
  let text = ''
  for (const [name, value] of pairs) {
    if (value === '') continue
    text += `${text === '' ? '' : ','}${name}="${escapeLabel(value)}"`
  }
  return text
}

/** The labels that a text stands for. */
export function labelPairs(text: string): [name: string, value: string][] {
  return Array.from(text.matchAll(PAIR), ([, name = '', value = '']) => [name, unescaped(value)])
}

const PAIR = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g

export function unescaped(text: string): string {
  return text.includes('\\') ? text.replace(/\\([\\"n])/g, (_, found) => (found === 'n' ? '\n' : found)) : text
}
