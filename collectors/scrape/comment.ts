// The comments that tell of a family: its help, type and unit. Others tell nothing.

import type { Families } from './families.ts'

/** Bytes of the name of a family or label. */
export const LONGEST_NAME = 1024

const COMMENT = /^#[ \t]+(HELP|TYPE|UNIT)[ \t]+(?:"((?:[^"\\]|\\.)*)"|([^ \t"]+))(?:[ \t]+(.*))?$/s

/** Notes what a comment tells; false if it looks like one of the three, and cannot be one. */
export function readComment(text: string, openmetrics: boolean, families: Families): boolean {
  const found = COMMENT.exec(text)
  if (!found) return true
  const [, kind, quoted, plain, rest = ''] = found
  const name = quoted === undefined ? plain! : quoted.replace(/\\(.)/g, '$1')
  if (name === '' || Buffer.byteLength(name) > LONGEST_NAME) return true
  if (quoted === undefined && !/^[a-zA-Z_:][\w:]*$/.test(name)) return false
  switch (kind) {
    case 'HELP':
      families.help(name, unescaped(rest, openmetrics))
      return true
    case 'UNIT':
      if (openmetrics) families.unit(name, rest.trim())
      return true
    default:
      return families.type(name, rest.trim())
  }
}

function unescaped(help: string, openmetrics: boolean): string {
  if (!help.includes('\\')) return help
  const pattern = openmetrics ? /\\([\\n"])/g : /\\([\\n])/g
  return help.replace(pattern, (_, found) => (found === 'n' ? '\n' : found))
}
