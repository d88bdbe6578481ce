// bench/results.md: one table for each row, each with the stamp of the run that measured it, so that a row can be measured
// again alone. Stamp and budgets are in a comment above the table, from which they are read back.

import { table } from './figures.ts'
import type { Budget } from './run.ts'

export interface Stamp {
  readonly machine: string
  readonly commit: string
  /** UTC, to the minute. */
  readonly at: string
  readonly seconds: number
  readonly node: string
  readonly collector: string
  /** Cores that other processes used meanwhile, and that the host gave to other machines. */
  readonly others: number
  readonly stolen: number
}

export interface Measured {
  readonly name: string
  readonly title: string
  /** The text below the title. */
  readonly text: string
  readonly stamp: Stamp
  readonly budgets: readonly Budget[]
}

/** In the order of the file. Throws for a file whose tables have no stamps. */
export function readResults(markdown: string): Measured[] {
  const sections = markdown.split(/^## /m).slice(1)
  return sections
    .filter(section => !section.startsWith(`${BUDGETS}\n`))
    .map(section => {
      const [, title, name, json, text] = SECTION.exec(section) ?? []
      if (title === undefined || name === undefined || json === undefined || text === undefined)
        throw new Error(`cannot tell when ${JSON.stringify(section.split('\n')[0])} was measured; make a full run`)
      // `section` below has written it.
      const { budgets, ...stamp } = JSON.parse(json) as Stamp & { budgets: Budget[] }
      return { name, title, text: text.trim(), stamp, budgets }
    })
}

/** `order` is the order of the rows. */
export function results(measured: readonly Measured[], order: readonly string[]): string {
  const sorted = measured.toSorted((a, b) => order.indexOf(a.name) - order.indexOf(b.name))
  const machines = new Set(sorted.map(({ stamp }) => stamp.machine))
  const missing = order.filter(name => !sorted.some(each => each.name === name))
  const f = (of: (stamp: Stamp) => string) => [...new Set(sorted.map(({ stamp }) => of(stamp)))].join(' and ')
  return `# What it costs, beside its rivals

<!-- Written by \`npm run bench\`. -->

- ${[...machines].join('; ')}, shared with other work: ratios hold, absolute figures are this machine's on this day
- Node ${f(({ node }) => node)}; ${f(({ collector }) => collector)}
- commit ${f(({ commit }) => commit)}; each table says when it was measured, and how much of the machine others had${missing.length > 0 ? `\n- not measured: ${missing.join(', ')}` : ''}
- what each row means and why it is as it is: [docs/performance.md](../docs/performance.md)

## ${BUDGETS}

${budgetTable(sorted.flatMap(({ budgets }) => budgets))}

${sorted.map(section).join('\n')}`
}

export function budgetTable(budgets: readonly Budget[]): string {
  const lines = budgets.map(({ what, budget, measured, holds }) => [what, budget, measured, holds ? 'yes' : '**no**'])
  return table(['budget', 'promised', 'measured', 'holds'], lines)
}

export function section({ name, title, text, stamp, budgets }: Measured): string {
  const { commit, at, seconds, others, stolen } = stamp
  const noise = `others used ${others.toFixed(2)} cores${stolen >= 0.005 ? `, ${stolen.toFixed(2)} were stolen` : ''}`
  return `## ${title}

<!-- row ${name} ${JSON.stringify({ ...stamp, budgets })} -->
*${commit}, ${at}Z, ${seconds} s, ${noise}*

${text}
`
}

const BUDGETS = 'Budgets'
const SECTION = /^(.+)\n\n<!-- row (\S+) (\{.*\}) -->\n\*.*\*\n\n([\s\S]*)$/
