// The cost of putting requests together and looking at them: CPU nanoseconds a span of the walk and the visit, and what each
// step adds: putting requests together, the critical path, and blame over moments that are read 50 times a second. Bodies are
// those of the SDK, with new trace ids each time, and shown to another consumer in any case, as in the sidecar. Time passes as
// 20,000 spans a second take, so that requests wait for a second and are looked at.
//
// With --beneath spans, the request metrics see the spans first, as they do in the sidecar with default options: then what is
// found once for both counts once, and each step has colder caches.
//
// With --beside, the same parts of another checkout take turns with ours in the same process: whether a change wins can be
// told on a machine that others use, too.
//
// The 10th percentile of the rounds is what it costs where nobody disturbs; the mean is what blame costs, whose budget is given
// out once a second, so that half of the rounds pay for it.
//
//   node bench/insight.ts [--rounds 60] [--beside FOLDER] [--spans 512,20] [--steps trees,path,blame]
//                         [--beneath nothing,spans]

import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import type { Metrics } from '../metrics/registry.ts'
import type { SpanVisitor } from '../otlp/visit.ts'
import type { Trees } from '../processors/trees.ts'
import type { SpanConsumer } from '../telemetry/consumer.ts'
import type { Keys } from '../telemetry/keys.ts'
import type { Memory } from '../telemetry/memory.ts'
import type { MomentRing } from '../telemetry/moment.ts'
import { DEFAULTS } from '../test/spans/room.ts'
import { bodies } from './bodies.ts'
import { median, quantile, table } from './figures.ts'
import { Moved } from './moved.ts'

/** As the sidecar runs under load (main.ts, host/optimize.ts). */
const FLAGS = ['--max-semi-space-size=1', '--v8-pool-size=1', '--no-maglev']
if (!FLAGS.every(flag => process.execArgv.includes(flag))) {
  const args = [...FLAGS, ...process.execArgv, ...process.argv.slice(1)]
  process.exit(spawnSync(process.execPath, args, { stdio: 'inherit' }).status ?? 1)
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '60' },
    beside: { type: 'string' },
    spans: { type: 'string', default: '512,20' },
    steps: { type: 'string', default: 'trees,path,blame' },
    beneath: { type: 'string', default: 'nothing,spans' },
  },
})
const RATE = 20_000
/** A round is this many spans: some tens of milliseconds, so that others disturb few of them. */
const SPANS = 12_288
/** Rounds until V8 has compiled everything. */
const WARM_UP = 10

/** The parts of a checkout. */
async function parts(folder: URL) {
  const part = <T>(path: string): Promise<T> => import(new URL(path, folder).href)
  return {
    ...(await part<typeof import('../exporter/prometheus.ts')>('exporter/prometheus.ts')),
    ...(await part<typeof import('../metrics/registry.ts')>('metrics/registry.ts')),
    ...(await part<typeof import('../otlp/peer.ts')>('otlp/peer.ts')),
    ...(await part<typeof import('../otlp/probe.ts')>('otlp/probe.ts')),
    ...(await part<typeof import('../otlp/visit.ts')>('otlp/visit.ts')),
    ...(await part<typeof import('../processors/blame.ts')>('processors/blame.ts')),
    ...(await part<typeof import('../processors/path.ts')>('processors/path.ts')),
    ...(await part<typeof import('../processors/spans.ts')>('processors/spans.ts')),
    ...(await part<typeof import('../processors/trees.ts')>('processors/trees.ts')),
    ...(await part<typeof import('../telemetry/keys.ts')>('telemetry/keys.ts')),
    ...(await part<typeof import('../telemetry/memory.ts')>('telemetry/memory.ts')),
    ...(await part<typeof import('../telemetry/moment.ts')>('telemetry/moment.ts')),
  }
}
type Parts = Awaited<ReturnType<typeof parts>>

interface Sent {
  readonly bytes: Buffer
  readonly ids: readonly number[]
  readonly words: readonly number[]
}

async function prepared({ SpanVisitor, Keys }: Parts, spans: number): Promise<Sent[]> {
  return (await bodies(spans, Math.ceil(4096 / spans))).map(bytes => {
    const at: number[] = []
    const places: SpanConsumer = { name: 'places', span: view => void at.push(view.traceId) }
    new SpanVisitor(new Keys(), [places]).visit({ signal: 'traces', bytes, items: spans, received: 0 })
    return { bytes, ids: at, words: at.map(each => bytes.readInt32LE(each + 12)) }
  })
}

/** From the walk alone to everything. */
const STEPS = ['none', ...values.steps.split(',')]

let sent = 0

class Way {
  readonly clock = new Moved()
  readonly keys: Keys
  readonly metrics: Metrics
  readonly memory: Memory
  readonly visitor: SpanVisitor
  readonly trees: () => Trees
  /** CPU nanoseconds a span, by round. */
  readonly costs: number[] = []
  readonly page: () => Promise<string>

  constructor(parts: Parts, step: string, beneath: string, ring: MomentRing) {
    const { Scrape, Keys, Metrics, Memory, SpanVisitor, Trees, Peers, ProbeFilter, path, blame, spans } = parts
    this.keys = new Keys()
    this.metrics = new Metrics()
    this.memory = new Memory(2 ** 30)
    let made: Trees | undefined
    this.trees = () => (made ??= new Trees(this))
    // The request metrics ask for these attributes in any case.
    new Peers(this.keys)
    new ProbeFilter(this.keys)
    const { clock, metrics, trees } = this
    const host = { clock, metrics, trees, log: { info() {}, warn() {}, error() {} } }
    const limits = { limit: 1000, expiry: 3_600_000 }
    const moments = () => ({ ring, marks: [], note() {}, wake() {}, ended: undefined })
    const first = beneath === 'spans' ? [spans.start(DEFAULTS, this)] : [{ name: 'nothing', span() {} }]
    const running = [
      ...(step === 'path' || step === 'blame' ? [path.start(limits, host)] : []),
      ...(step === 'blame' ? [blame.start({ ...limits, slow: 'p95', log: false }, { ...host, moments })] : []),
    ]
    const consumers = running.flatMap(each => each.consumes?.spans ?? [])
    if (step === 'trees') consumers.push(...trees().join({ tree() {} }))
    this.visitor = new SpanVisitor(this.keys, [...first, ...consumers])
    const collectors = running.map(({ collect }) => ({
      name: step,
      collect: (signal: AbortSignal) => collect?.(signal),
    }))
    const scrape = new Scrape(metrics, collectors)
    this.page = async () => {
      const { chunks } = await scrape.scrape(undefined, AbortSignal.timeout(5000))
      return Buffer.concat(chunks)
        .toString()
        .replace(/^pillion_collector_.*\n/gm, '')
    }
  }

  async round(all: readonly Sent[], spans: number): Promise<void> {
    const before = cpu()
    for (let n = 0; n < SPANS; n += spans) {
      const { bytes, ids, words } = all[(n / spans) % all.length]!
      const mark = Math.imul(++sent, 0x9e3779b1)
      for (let i = 0; i < ids.length; i++) bytes.writeInt32LE(words[i]! ^ mark, ids[i]! + 12)
      this.visitor.walk.run(bytes, spans)
      this.visitor.show({ signal: 'traces', bytes, items: spans, received: 0 })
      if (this.clock.pass((spans / RATE) * 1000)) for (let i = 0; i < 3; i++) await new Promise(setImmediate)
    }
    this.costs.push((cpu() - before) / SPANS)
  }
}

/**
 * Moments around the times of the spans, which are those of their making: the times stay, while the clock moves. The main
 * thread works and waits for answers in turns of some hundred milliseconds, waits for a core now and then, and is throttled
 * seldom.
 */
function around({ MomentRing, emptyRow }: Parts, wall: number): MomentRing {
  const ring = new MomentRing(8192)
  const row = { ...emptyRow(), process: 1, mainRun: 0, mainWait: 0, throttled: 0, state: 2 }
  for (let ms = -100_000; ms < 60_000; ms += 20) {
    const works = (ms / 300) & 1
    row.mainRun += works ? 0.018 : 0.001
    if (ms % 700 === 0) row.mainWait += 0.01
    if (ms % 5000 === 0) row.throttled += 0.04
    row.state = works ? 1 : 2
    ring.add(wall + ms, 100_000 + ms, row)
  }
  return ring
}

/** Both have seen the same requests and moments, so they must say the same. */
async function same(other: Way, ours: Way): Promise<void> {
  const [theirs, own] = [await other.page(), await ours.page()]
  const lines = own.split('\n')
  const odd = theirs.split('\n').filter((line, i) => line !== lines[i])
  process.stdout.write(
    `of ${lines.length} lines of their last pages, ${odd.length} differ\n${odd.slice(0, 5).join('\n')}\n`,
  )
}

/** Nanoseconds. */
function cpu(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) * 1000
}

const ours = await parts(new URL('../', import.meta.url))
const theirs = values.beside && (await parts(new URL(`${pathToFileURL(resolve(values.beside)).href}/`)))
const checkouts = [...(theirs ? [{ name: 'other', parts: theirs }] : []), { name: 'this', parts: ours }]
const places = values.spans
  .split(',')
  .flatMap(spans => values.beneath.split(',').map(beneath => ({ spans: Number(spans), beneath })))
for (const { spans, beneath } of places) {
  const all = await prepared(ours, spans)
  const now = Date.now()
  const made = checkouts.map(({ name, parts }) => {
    const ring = around(parts, now)
    return { name, ways: STEPS.map(step => new Way(parts, step, beneath, ring)) }
  })
  for (let round = -WARM_UP; round < Number(values.rounds); round++) {
    if (round === 0) for (const { ways } of made) for (const way of ways) way.costs.length = 0
    for (let step = 0; step < STEPS.length; step++) for (const { ways } of made) await ways[step]!.round(all, spans)
  }
  const rows = STEPS.slice(1).flatMap((step, i) =>
    made.map(({ name, ways }) => {
      const [before, after] = [ways[0]!.costs, ways[i + 1]!.costs]
      const more = after.map((cost, round) => cost - before[round]!)
      const mean = more.reduce((sum, each) => sum + each, 0) / more.length
      const low = quantile(after, 0.1) - quantile(before, 0.1)
      return [step, name, low.toFixed(0), median(more).toFixed(0), mean.toFixed(0)]
    }),
  )
  const without = made.map(({ name, ways }) => `${name} ${quantile(ways[0]!.costs, 0.1).toFixed(0)} ns`).join(', ')
  const alone = beneath === 'spans' ? 'and the request metrics' : 'alone'
  process.stdout.write(`${spans} spans a request; the walk and the visit ${alone}: ${without}\n`)
  if (theirs) await same(made[0]!.ways.at(-1)!, made[1]!.ways.at(-1)!)
  process.stdout.write(`${table(['with', 'checkout', 'ns more, p10', 'median', 'mean'], rows)}\n\n`)
}
process.exit(0)
