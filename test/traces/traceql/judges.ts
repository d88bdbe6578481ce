// Tempo itself, and its parser of TraceQL; `.ci/judges` builds both. They are run beside the tests and are no part of anything.

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const MODULE = readFileSync(fileURLToPath(new URL('judge/go.mod', import.meta.url)), 'utf8')
const VERSION = /^require .*tempo (\S+)/m.exec(MODULE)?.[1] ?? ''
const FOLDER = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'pillion/tempo', VERSION)
const PARSER = join(FOLDER, 'traceql')
export const TEMPO = join(FOLDER, 'tempo')
/** A client that asks as Grafana's data source does (judge/grafana). */
export const GRAFANA = join(FOLDER, 'grafana')

/** False if they are built; otherwise the message of a skip. */
export const absent = {
  parser: existsSync(PARSER) ? false : 'needs: .ci/judges',
  tempo: existsSync(TEMPO) ? false : 'needs: .ci/judges',
  grafana: existsSync(GRAFANA) ? false : 'needs: .ci/judges',
} as const

/** The verdict of Tempo's parser: the query as it prints it, or why it refuses it. */
export type Verdict = { readonly text: string } | { readonly text: undefined; readonly refused: string }

export function judged(queries: readonly string[]): Verdict[] {
  const input = queries.map(query => `${JSON.stringify(query)}\n`).join('')
  const lines = execFileSync(PARSER, [], { input, maxBuffer: 1 << 30 })
    .toString()
    .trimEnd()
    .split('\n')
  return lines.map(line => {
    const { text, parse, validate } = JSON.parse(line) as { text?: string; parse?: string; validate?: string }
    const refused = parse ?? validate
    // Tempo 2.8 closes compare() with a brace.
    if (refused === undefined) return { text: (text ?? '').replace(/compare\((.*)\}\}/, 'compare($1})') }
    return { text: undefined, refused }
  })
}
