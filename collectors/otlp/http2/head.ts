// The head and the trailers of a request, made of their fields (RFC 9113, section 8.3.1).

import type { Field } from './field.ts'

export interface Head {
  readonly method: string
  readonly path: string
  /** The content-length, or -1. */
  readonly length: number
  readonly fields: readonly Field[]
}

/** Undefined if it is malformed. */
export function headOf(fields: readonly Field[]): Head | undefined {
  let method: string | undefined
  let path: string | undefined
  let scheme: string | undefined
  let authority: string | undefined
  let length = -1
  let regular = false
  for (const { name, value, pseudo, legal } of fields) {
    if (!legal || (pseudo && regular)) return undefined
    regular = !pseudo
    if (name === 'content-length') {
      if (!/^\d{1,15}$/.test(value) || (length >= 0 && length !== Number(value))) return undefined
      length = Number(value)
    }
    if (!pseudo) continue
    if (name === ':method' && method === undefined) method = value
    else if (name === ':path' && path === undefined) path = value
    else if (name === ':scheme' && scheme === undefined) scheme = value
    else if (name === ':authority' && authority === undefined) authority = value
    else return undefined
  }
  return method && path && scheme ? { method, path, length, fields } : undefined
}

export function areTrailers(fields: readonly Field[]): boolean {
  return fields.every(({ pseudo, legal }) => legal && !pseudo)
}
