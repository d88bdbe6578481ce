// The cost of keeping traces: for each span that comes in, and for questions over those that are kept.

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { table } from '../figures.ts'
import type { Row } from '../run.ts'

const PROGRAM = fileURLToPath(new URL('../kept.ts', import.meta.url))

interface Result {
  readonly 512: Intake
  readonly 20: Intake
  readonly questions: Readonly<Record<string, number>>
}

interface Intake {
  readonly without: number
  readonly copied: number
  readonly with: number
}

/** Milliseconds of CPU that a question may take, by its name in bench/kept.ts, and the question. */
const QUESTIONS: readonly (readonly [key: string, most: number, what: string])[] = [
  ['attribute', 20, 'search by an attribute that is a string'],
  ['attributeNumber', 20, 'search by an attribute that is a number'],
  ['name', 2, 'search by name'],
  ['service', 2, 'search by service'],
  ['status', 2, 'search by status and duration'],
  ['duration', 2, 'search by duration'],
  ['tags', 60, 'all tags'],
  ['trace', 0.01, 'a trace by its id'],
  ['view', 1, 'a trace to be shown, as protobuf'],
]

export const traces: Row = {
  name: 'traces',
  title: 'Traces in memory',
  async measure(run) {
    const { stdout, status } = spawnSync(process.execPath, [PROGRAM, run.quick ? '4' : '10'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    if (status !== 0) throw new Error(`${PROGRAM} ended with ${status}`)
    const result: Result = JSON.parse(stdout)
    for (const [spans, most] of [
      [512, 100],
      [20, 150],
    ] as const) {
      const more = result[spans].with - result[spans].without
      run.budget(`keeping a span, ${spans} a request`, `≤ ${most} ns`, `${more.toFixed(0)} ns`, more <= most)
    }
    const rows = QUESTIONS.map(([key, most, what]) => {
      const ms = result.questions[key] ?? Number.NaN
      run.budget(`100 000 spans: ${what}`, `≤ ${most} ms`, `${ms.toFixed(3)} ms`, ms <= most)
      return [what, ms.toFixed(3), String(most)]
    })
    const intake = ([512, 20] as const).map(spans => [
      `${spans} a request`,
      result[spans].without.toFixed(0),
      result[spans].copied.toFixed(0),
      result[spans].with.toFixed(0),
      (result[spans].with - result[spans].without).toFixed(0),
    ])
    return [
      'CPU of one span with the default store, full and evicting, beside the walk and the visit alone; in one process, without sockets.',
      table(['', 'without, ns', 'with a copy of the request, ns', 'with the store, ns', 'more'], intake),
      `CPU of a question over ${result.questions['spans']} spans, no span of which matches.`,
      table(['question', 'ms', 'budget'], rows),
    ].join('\n\n')
  },
}
