// HTML as a template tag: what stands in the template is markup, every value is text. Nothing else makes markup, so
// nothing that the application calls itself can.

/** Markup that this file has made. */
export class Html {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

export type Value = string | number | undefined | Html | readonly Html[]

export function html(markup: TemplateStringsArray, ...values: readonly Value[]): Html {
  let text = markup[0]!
  values.forEach((value, i) => {
    text += rendered(value) + markup[i + 1]!
  })
  return new Html(text)
}

function rendered(value: Value): string {
  if (value === undefined) return ''
  if (value instanceof Html) return value.text
  if (typeof value === 'object') return value.map(each => each.text).join('')
  return escaped(String(value))
}

/** Text for content and for quoted attributes. Controls and bidi marks, which could disguise it, become U+FFFD. */
export function escaped(text: string): string {
  return text
    .toWellFormed()
    .replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, '\ufffd')
    .replace(/[&<>"']/g, character => ENTITIES[character]!)
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}
