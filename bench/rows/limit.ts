// The smallest memory limit of a cgroup within which the built sidecar, with default options, survives crowds of clients that
// send whatever it allows. It goes down until the sidecar is killed, or cannot start. The Collector and Rotel get the same crowds.

import { Cell } from '../../test/load/cell.ts'
import { besiege, type Crowd, gather } from '../../test/load/siege.ts'
import { type Row as Line, table } from '../figures.ts'
import { otelcol } from '../rivals/otelcol.ts'
import { fetchRotel, rotel } from '../rivals/rotel.ts'
import type { Row } from '../run.ts'
import { BUILT, type Server } from '../server.ts'
import { Sink } from '../sink.ts'

const MIB = 2 ** 20
/** The limit of the manifests in deploy/; the sidecar should live within two thirds of it. */
const MANIFESTS = 192
const LIMITS = [MANIFESTS, 160, 128, 112, 96, 88, 80, 72, 64]

/** Other programs are tried from the largest down, each for a few seconds. */
const OTHERS_LIMITS = [2048, 1024, 512, 384, 256, 192, 128, 96, 64]
const OTHERS_SECONDS = 5

const CROWDS: readonly (readonly [name: string, crowd: Crowd])[] = [
  ['30 × HTTP, 8,000 spans a batch', { http: 30, grpc: 0, large: 1 }],
  ['30 × gRPC, 8,000 spans a batch', { http: 0, grpc: 30, large: 1 }],
  ['80 × HTTP, 40 × gRPC, all sizes', { http: 80, grpc: 40, large: 0.1 }],
]

export const limit: Row = {
  name: 'limit',
  title: 'The smallest memory limit',
  async measure(run) {
    const lines: Line[] = []
    let smallest = Number.POSITIVE_INFINITY
    for (const mib of LIMITS) {
      const peaks: string[] = []
      let lives = true
      for (const [, crowd] of CROWDS) {
        const outcome: Outcome | undefined = lives ? await siege(mib, crowd, run.quick ? 4 : 15) : undefined
        if (outcome?.why !== undefined) return `Not measured: ${outcome.why}.`
        lives = lives && outcome?.peak !== undefined
        peaks.push(outcome === undefined ? '' : outcome.peak === undefined ? 'killed' : outcome.peak.toFixed(0))
      }
      lines.push([String(mib), ...peaks])
      if (!lives) break
      smallest = mib
    }
    const most = (MANIFESTS * 2) / 3
    run.budget('memory limit that it survives', `≤ ${most} MiB`, `${smallest} MiB`, smallest <= most)
    const own = table(['limit, MiB', ...CROWDS.map(([name]) => name)], lines)
    await using sink = await Sink.start()
    const others: Line[] = []
    const { folder } = run
    if (run.collector) others.push(['Collector, span metrics', await survives(wrapper => otelcol({ folder, wrapper }))])
    if (fetchRotel()) others.push(['Rotel, forwarding', await survives(wrapper => rotel(folder, sink.url, wrapper))])
    if (others.length === 0) return `${ABOUT}\n\n${own}`
    const beside = table(['program', 'smallest limit, MiB'], [['Pillion, all on', `${smallest}`], ...others])
    return `${ABOUT}\n\n${own}\n\nOther programs with their own defaults, and the same crowds for ${OTHERS_SECONDS} s each; the limits are ${OTHERS_LIMITS.join(', ')}.\n\n${beside}`
  },
}

const ABOUT =
  'The most memory that the cgroup of the sidecar was charged with, in MiB, while a crowd sends as fast as it is answered; kernel memory and the file pages that it alone uses are part of it. The budget follows from the limit by itself (memory.budget).'

/** The smallest limit within which a program survives all crowds, in MiB. */
async function survives(start: (wrapper: readonly string[]) => Promise<Server>): Promise<string> {
  let smallest: number | undefined
  for (const mib of OTHERS_LIMITS) {
    for (const [, crowd] of CROWDS) {
      const opened = Cell.open(mib * MIB)
      if (typeof opened === 'string') return opened
      await using cell = opened
      try {
        await using server = await start(cell.wrapper)
        await using senders = await gather(crowd, { http: `${server.http}`, grpc: `${server.grpc}` }, OTHERS_SECONDS)
        await senders.ended
        if (server.process.exitCode === null && server.process.signalCode === null && cell.kills() === 0) continue
      } catch {
        // It ended before it was ready.
      }
      return smallest === undefined ? `over ${OTHERS_LIMITS[0]}` : `${smallest}`
    }
    smallest = mib
  }
  return `${smallest}`
}

interface Outcome {
  /** In MiB; undefined if the sidecar was ended. */
  readonly peak?: number
  /** Why nothing can be measured here. */
  readonly why?: string
}

async function siege(mib: number, crowd: Crowd, seconds: number): Promise<Outcome> {
  const opened = Cell.open(mib * MIB)
  if (typeof opened === 'string') return { why: opened }
  await using cell = opened
  try {
    const { ended } = await besiege(BUILT, cell, crowd, seconds)
    return ended === undefined && cell.kills() === 0 ? { peak: cell.peak() / MIB } : {}
  } catch {
    // It ended before it was ready.
    return {}
  }
}
