// The cost of explaining: the sampler's CPU, and the memory of all parts that explain.

import { join } from 'node:path'
import { least, type Sampled, samplerCost, weight } from '../explaining.ts'
import { table } from '../figures.ts'
import type { Row } from '../run.ts'

export const BUDGETS = { rest: 0.4, busy: 1.5, mebibytes: 8 } as const

export const explaining: Row = {
  name: 'explaining',
  title: 'The sampler, and the memory of what explains',
  async measure(run) {
    const cost = await samplerCost(run.quick ? 3 : 8, run.quick ? 3 : 5)
    const mebibytes = (await weight(join(run.folder, 'flight'))) / 2 ** 20
    const f = (what: string, { pairs }: Sampled, most: number) =>
      run.budget(what, `≤ ${most} % of a core`, `${least(pairs).toFixed(2)} %`, least(pairs) <= most)
    f('sampler at rest', cost.rest, BUDGETS.rest)
    f('sampler while spans come in', cost.busy, BUDGETS.busy)
    const holds = mebibytes <= BUDGETS.mebibytes
    run.budget('memory of what explains', `≤ ${BUDGETS.mebibytes} MiB`, `${mebibytes.toFixed(1)} MiB`, holds)
    const line = (name: string, { pairs, rate }: Sampled) => {
      const more = pairs.map(pair => pair.with - pair.without).toSorted((a, b) => a - b)
      return [name, rate.toFixed(1), ...[more[0], more[more.length >> 1], more.at(-1)].map(each => each!.toFixed(2))]
    }
    return [
      `CPU of the sidecar beside an application of ${cost.threads} threads, less that of one without moments beside the same application at the same time, in percent of a core, in ${cost.rest.pairs.length} windows each; while spans come in, ten requests a second.`,
      table(['', 'moments a second', 'least', 'median', 'most'], [line('at rest', cost.rest), line('busy', cost.busy)]),
      `Moments, critical path, blame and flight records together hold ${mebibytes.toFixed(1)} MiB of heap and buffers after a collection: the whole ring of moments, and full tables of operations.`,
    ].join('\n\n')
  },
}
