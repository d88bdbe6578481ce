// The built sidecar, with default options, in a cgroup with the limit of our own manifests, and crowds of clients that send all
// that it allows: it is not killed, its account is exact, and honest clients are answered meanwhile. Some seconds for each crowd,
// or as many as CROWD says: CROWD=60 node test/load/crowd.timing.ts

import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { Child } from '../e2e/child.ts'
import { Cell } from './cell.ts'
import { SIGNALS } from './crowd.ts'
import { besiege, besiegeWithReaders, type Crowd } from './siege.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const MIB = 2 ** 20
/** The limit in deploy/kubernetes, deploy/compose and deploy/systemd. */
const LIMIT = Number(process.env['CROWD_LIMIT_MIB'] ?? 192) * MIB
/** The part of it that stays free, for file pages charged to this cgroup. Seen were 92 to 157 MiB of 192. */
const MARGIN = LIMIT / 12
const SECONDS = Number(process.env['CROWD'] ?? (process.env['CI'] ? 20 : 6))

t.setTimeout((5 * SECONDS + 180) * 1000)

const reason = await (async () => {
  const cell = Cell.open(LIMIT)
  if (typeof cell === 'string') return cell
  await cell[Symbol.asyncDispose]()
  return undefined
})()
const skip = reason ?? false

// A build of its own: `npm run build`, which empties dist/, may run in another test at the same time.
const dist = join(t.testdir(), 'dist')
t.before(async () => {
  await using build = await Child.start(process.execPath, [join(ROOT, 'scripts/build.ts'), '--out', dist], {}, ROOT)
  const { code } = await build.ended
  if (code !== 0) throw new Error(`cannot build:\n${build.stdout}${build.stderr}`)
})

function survives(name: string, crowd: Crowd): void {
  t.test(`within the memory limit of the manifests it survives ${name}`, { skip }, async t => {
    const cell = Cell.open(LIMIT)
    if (typeof cell === 'string') throw new Error(cell)
    await using within = cell
    const { tally, ended, accepted, counted, left, honest, scrapes } = await besiege(
      join(dist, 'main.js'),
      within,
      crowd,
      SECONDS,
    )
    t.comment(`at most ${(within.peak() / MIB).toFixed(1)} of ${LIMIT / MIB} MiB; ${JSON.stringify(tally)}`)
    t.comment(`honest: ${JSON.stringify(honest)}; scrapes: ${JSON.stringify(scrapes)}`)
    t.equal(within.kills(), 0, 'processes killed for lack of memory')
    t.ok(within.peak() <= LIMIT - MARGIN, `${MARGIN / MIB} MiB are left`)
    t.equal(ended, undefined, 'it still runs')
    t.same(
      Object.keys(tally.answers).filter(each => /broken/.test(each)),
      [],
      'no connection is broken by the sidecar',
    )
    for (const signal of SIGNALS) {
      const acknowledged = tally.acknowledged[signal]
      const sent = acknowledged + (signal === 'traces' ? honest.taken : 0)
      const unanswered = tally.unanswered[signal]
      const taken = accepted?.[signal] ?? Number.NaN
      if (signal === 'traces' || crowd.signals) t.ok(acknowledged > 0, `the crowd is served too: ${signal}`)
      t.ok(taken >= sent, `${taken} of ${signal} accepted, ${sent} acknowledged`)
      t.ok(taken <= sent + unanswered, `${unanswered} without an answer`)
    }
    t.equal(counted, accepted?.traces, 'everything accepted is in the metrics')
    t.equal(left, 0, 'everything held is given back')
    t.equal(honest.taken, honest.sent, 'each honest request is taken, at the latest when it comes again')
    t.equal(honest.unfit, 0, 'each refusal says when to come again')
    t.ok(scrapes.answered > 0 && scrapes.failed === 0, 'each scrape is answered')
  })
}

survives('30 connections with batches of 8,000 spans', { http: 30, grpc: 0, large: 1 })
survives('40 connections with 8,000 spans in one of 100 batches', { http: 40, grpc: 0, large: 0.01 })
survives('30 gRPC connections with batches of 8,000 spans', { http: 0, grpc: 30, large: 1 })
survives('10 connections of both protocols with all sizes', { http: 5, grpc: 5, large: 0.3 })
survives('120 connections of both protocols with all sizes', { http: 80, grpc: 40, large: 0.1 })
survives('40 connections of both protocols with all signals', { http: 24, grpc: 16, large: 0.3, signals: 'all' })

t.test(
  'within the memory limit of the manifests it survives slow readers of a large page and 60 connections with 1,500 requests each that nobody reads',
  { skip },
  async t => {
    const cell = Cell.open(LIMIT)
    if (typeof cell === 'string') throw new Error(cell)
    await using within = cell
    const { ended, page, healthy, scrapes } = await besiegeWithReaders(join(dist, 'main.js'), within, SECONDS)
    t.comment(`at most ${(within.peak() / MIB).toFixed(1)} of ${LIMIT / MIB} MiB; a page of ${(page / MIB).toFixed(1)}`)
    t.comment(JSON.stringify({ healthy, scrapes }))
    t.equal(within.kills(), 0, 'processes killed for lack of memory')
    t.ok(within.peak() <= LIMIT - MARGIN, `${MARGIN / MIB} MiB are left`)
    t.equal(ended, undefined, 'it still runs')
    t.equal(healthy.failed, 0, 'the kubelet is answered each time')
    t.ok(healthy.longest < 5, `and within ${healthy.longest.toFixed(1)} s`)
    t.ok(scrapes.answered > 0, 'Prometheus is answered too')
  },
)
