// Requests in, request metrics out: spans per CPU second of the whole server process.

import { strict as assert } from 'node:assert'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Variety, varied } from '../bodies.ts'
import { advantage, type Row as Line, median, short, spread, table } from '../figures.ts'
import { send } from '../load.ts'
import { cpuSeconds } from '../machine.ts'
import { ceiling } from '../rivals/ceiling.ts'
import { otelcol, SEEN_MS } from '../rivals/otelcol.ts'
import type { Bodies, Row, Run } from '../run.ts'
import { pillion, type Server, scrape } from '../server.ts'

const SIZES = [512, 50, 20, 5]
const FEW = [512, 20]
const SMALL = [512, 20, 5, 1]
const CONNECTIONS = 8
const MANY_CONNECTIONS = 64
/** Time for work after the last answer: the Collector's batch processor waits 200 ms. */
const SETTLE_MS = 300

/** The service graph, targets, trace store, critical path and blame are parts that the Collector's pipeline does not have. */
export const SAME_PARTS = [
  '--no-spans.graph.enabled',
  '--spans.target_info.limit',
  '0',
  '--traces.keep',
  '0B',
  '--no-path.enabled',
  '--no-blame.enabled',
]

type Protocol = 'http' | 'grpc'

export const http: Row = {
  name: 'intake-http',
  title: 'OTLP/HTTP in, span metrics out',
  measure: run => intake(run, 'http'),
}

export const grpc: Row = {
  name: 'intake-grpc',
  title: 'OTLP/gRPC in, span metrics out',
  measure: run => intake(run, 'grpc'),
}

async function intake(run: Run, protocol: Protocol): Promise<string> {
  await using servers = new AsyncDisposableStack()
  const ours = servers.use(await pillion(SAME_PARTS))
  const bare = servers.use(await ceiling())
  const theirs: Server[] = []
  if (run.collector)
    for (const batch of [false, true]) theirs.push(servers.use(await otelcol({ folder: run.folder, batch })))
  const whole = servers.use(await pillion([], { name: 'Pillion as it comes' }))
  const everybody = [ours, whole, bare, ...theirs]

  const counted = new Counted()
  let agreed = ''
  if (theirs.length > 0) {
    for (const server of [ours, whole, ...theirs]) {
      const bodies = await run.bodies(512)
      const { requests } = await send(job(server, protocol, bodies, false, { requests: bodies.count }))
      counted.add(server, requests * bodies.spans)
    }
    const samples = await agree(ours, [whole, ...theirs])
    agreed = `After the same ${short((await run.bodies(512)).count * 512)} spans, the ${samples} samples of calls, buckets and counts that differ from 0 are the same in all of them.`
  }

  const rates = new Map<string, number>()
  const lines: Line[] = []
  const sizes = run.quick && protocol === 'http' ? FEW : protocol === 'grpc' ? SMALL : SIZES
  const ways = sizes.flatMap(spans => [
    { spans, gzip: false, connections: CONNECTIONS },
    ...(spans === 512 || (spans === 5 && !run.quick) ? [{ spans, gzip: true, connections: CONNECTIONS }] : []),
    ...(spans === 20 && protocol === 'grpc' ? [{ spans, gzip: false, connections: MANY_CONNECTIONS }] : []),
  ])
  for (const { spans, gzip, connections } of ways) {
    const bodies = await run.bodies(spans)
    const measured = await turns(run, everybody, server =>
      rate(server, protocol, bodies, gzip, run.seconds, counted, connections),
    )
    const of = (server: Server) => median(measured.get(server) ?? [])
    if (connections === CONNECTIONS) rates.set(`${spans}${gzip ? ' gzip' : ''}`, of(ours))
    const ratios = theirs.map(server => of(ours) / of(server))
    const share = of(ours) / of(bare)
    lines.push([
      `${spans}${gzip ? ', gzip' : ''}${connections === CONNECTIONS ? '' : `, ${connections} connections`}`,
      short(gzip ? bodies.gzipBytes : bodies.bytes),
      ...everybody.map(server => `${short(of(server))} ±${spread(measured.get(server) ?? []).toFixed(0)} %`),
      ...ratios.map((ratio, i) => advantage(ratio, theirs[i]!.name)),
      gzip ? '' : `${(share * 100).toFixed(0)} %`,
    ])
    if (connections === CONNECTIONS) judge(run, protocol, spans, gzip, ratios[0], share)
  }
  const plain = rates.get('512')!
  const packed = rates.get('512 gzip')!
  if (protocol === 'http')
    run.budget('HTTP, gzip beside plain at 512', '≥ 0.65 ×', `${(packed / plain).toFixed(2)} ×`, packed >= 0.65 * plain)
  await counted.check([ours, whole, ...theirs])
  const head = [
    'spans a request',
    'bytes',
    ...everybody.map(server => server.name),
    ...theirs.map(server => `beside ${server.name}`),
    'of the ceiling',
  ]
  return [
    `Spans per CPU second of the server process; ${CONNECTIONS} connections, closed loop. "nothing decoded" is \`node:${protocol === 'http' ? 'http' : 'http2'}\` that gathers the body and answers (gzip is not opened there). Pillion makes what the Collector makes; "as it comes" it makes a service graph and target_info besides. Exemplars are on in Pillion and off, their default, in the Collector.`,
    agreed,
    table(head, lines),
  ].join('\n\n')
}

function judge(run: Run, protocol: Protocol, spans: number, gzip: boolean, ratio: number | undefined, share: number) {
  if (gzip) return
  const promised: Readonly<Record<string, number>> = { 'http 512': 5, 'http 20': 2, 'grpc 512': 4.5, 'grpc 20': 2.5 }
  const least = promised[`${protocol} ${spans}`]
  if (least && ratio !== undefined)
    run.budget(
      `${protocol === 'http' ? 'HTTP' : 'gRPC'}, spans per CPU second at ${spans} a request, beside the Collector`,
      `≥ ${least} ×`,
      `${ratio.toFixed(2)} ×`,
      ratio >= least,
    )
  const shares: Readonly<Record<string, number>> = { 'http 512': 0.55, 'http 50': 0.55, 'http 5': 0.6 }
  const part = shares[`${protocol} ${spans}`]
  if (part)
    run.budget(
      `HTTP, of what node:http reaches without decoding, at ${spans}`,
      `≥ ${(part * 100).toFixed(0)} %`,
      `${(share * 100).toFixed(0)} %`,
      share >= part,
    )
}

export const dimensions: Row = {
  name: 'dimensions',
  title: 'Dimensions',
  async measure(run) {
    const keys = [
      ...['http.route', 'http.response.status_code'],
      ...['http.request.method', 'db.system.name', 'server.address'],
    ]
    const counts = [0, 2, 5]
    const bodies = await run.bodies(512)
    await using servers = new AsyncDisposableStack()
    const ours: Server[] = []
    const theirs: Server[] = []
    for (const count of counts) {
      const some = keys.slice(0, count)
      ours.push(servers.use(await pillion([...SAME_PARTS, ...some.flatMap(key => ['--spans.dimensions', key])])))
      if (run.collector) theirs.push(servers.use(await otelcol({ folder: run.folder, dimensions: some })))
    }
    const counted = new Counted()
    const measured = await turns(run, [...ours, ...theirs], server =>
      rate(server, 'http', bodies, false, run.seconds, counted),
    )
    await counted.check([...ours, ...theirs])
    const of = (server: Server) => median(measured.get(server) ?? [])
    const lines = counts.map((count, i) => {
      const [mine, other] = [ours[i]!, theirs[i]]
      return [
        String(count),
        `${short(of(mine))} ±${spread(measured.get(mine) ?? []).toFixed(0)} %`,
        `${(of(mine) / of(ours[0]!)).toFixed(2)} ×`,
        ...(other ? [short(of(other)), advantage(of(mine) / of(other), other.name)] : []),
      ]
    })
    const head = ['dimensions', 'Pillion', 'beside none', ...(run.collector ? ['Collector', 'beside Collector'] : [])]
    return [`OTLP/HTTP, 512 spans a request, spans per CPU second. ${keys.join(', ')}.`, table(head, lines)].join(
      '\n\n',
    )
  },
}

export const growth: Row = {
  name: 'growth',
  title: 'As things grow in number',
  async measure(run) {
    const [body] = await run.sdkBodies(512)
    const f = (name: string, variety: Variety) => [name, run.pack(name, 512, varied(body!, 512, variety))] as const
    const kinds = [
      f('10 operations', { operations: 10 }),
      f('100 operations', { operations: 100 }),
      f('1 000 operations', { operations: 1000 }),
      f('2 000 operations', { operations: 2000 }),
      f('20 000 operations', { operations: 20_000 }),
      f('1 service', { services: 1 }),
      f('10 services', { services: 10 }),
      f('100 services', { services: 100 }),
      f('5 attributes a span', { attributes: 5 }),
      f('20 attributes a span', { attributes: 20 }),
      f('50 attributes a span', { attributes: 50 }),
    ]
    const counted = new Counted()
    const lines: Line[] = []
    let first = 0
    for (const [name, bodies] of kinds) {
      await using servers = new AsyncDisposableStack()
      const ours = servers.use(await pillion([...SAME_PARTS, '--spans.limit', '1000000']))
      const theirs = run.collector ? servers.use(await otelcol({ folder: run.folder })) : undefined
      const measured = await turns(run, theirs ? [ours, theirs] : [ours], server =>
        rate(server, 'http', bodies, false, run.seconds, counted),
      )
      const of = (server: Server) => median(measured.get(server) ?? [])
      first ||= of(ours)
      const beside = theirs ? [short(of(theirs)), advantage(of(ours) / of(theirs), theirs.name)] : []
      lines.push([name, short(bodies.bytes / 512), short(of(ours)), `${(of(ours) / first).toFixed(2)} ×`, ...beside])
    }
    const head = [
      '',
      'bytes a span',
      'Pillion',
      'beside the first',
      ...(run.collector ? ['Collector', 'beside it'] : []),
    ]
    return `OTLP/HTTP, 512 spans a request, spans per CPU second. An operation is a label set, and one for its errors. Attributes are not asked for.

${table(head, lines)}`
  },
}

/** All programs in turn, in several rounds, after one round to warm them up. */
export async function turns<K>(
  run: Run,
  everybody: readonly K[],
  once: (who: K) => Promise<number>,
): Promise<Map<K, number[]>> {
  const measured = new Map<K, number[]>(everybody.map(who => [who, []]))
  for (let round = -1; round < run.rounds; round++)
    for (const who of everybody) {
      const value = await once(who)
      if (round >= 0) measured.get(who)!.push(value)
    }
  return measured
}

/** Spans per CPU second at full load. */
export async function rate(
  server: Server,
  protocol: Protocol,
  bodies: Bodies,
  gzip: boolean,
  seconds: number,
  counted: Counted,
  connections = CONNECTIONS,
): Promise<number> {
  const before = cpuSeconds(server.pid)
  const { requests } = await send(job(server, protocol, bodies, gzip, { seconds }, connections))
  await sleep(SETTLE_MS)
  counted.add(server, requests * bodies.spans)
  return (requests * bodies.spans) / (cpuSeconds(server.pid) - before)
}

function job(
  server: Server,
  protocol: Protocol,
  bodies: Bodies,
  gzip: boolean,
  until: { requests: number } | { seconds: number },
  connections = CONNECTIONS,
) {
  const file = gzip ? bodies.gzip : bodies.plain
  return { protocol, port: server[protocol], bodies: file, gzip, connections, ...until }
}

/** The spans that each server was sent, to be compared with its counters. */
export class Counted {
  readonly #sent = new Map<Server, number>()

  add(server: Server, spans: number): void {
    this.#sent.set(server, (this.#sent.get(server) ?? 0) + spans)
  }

  async check(servers: readonly Server[]): Promise<void> {
    await sleep(servers.some(server => server.name.startsWith('Collector')) ? SEEN_MS : 0)
    for (const server of servers) {
      let calls = 0
      for (const [, value] of (await scrape(server)).matchAll(/^traces_span_?metrics_calls_total\{.*\} (\S+)$/gm))
        calls += Number(value)
      assert.equal(calls, this.#sent.get(server), `${server.name} has counted other spans than it was sent`)
    }
  }
}

/** Compares the samples of all servers with ours, and returns their number. */
async function agree(ours: Server, theirs: readonly Server[]): Promise<number> {
  await sleep(SEEN_MS)
  const expected = samples(await scrape(ours))
  for (const server of theirs)
    assert.equal(different(samples(await scrape(server)), expected), undefined, `${server.name} shows other samples`)
  return expected.length
}

/** The first line in which two lists differ, from both. */
function different(one: readonly string[], other: readonly string[]): string | undefined {
  const at = other.findIndex((line, i) => line !== one[i])
  return at < 0 && one.length === other.length ? undefined : `${one[at]} instead of ${other[at]}`
}

/** The samples that both have, in one spelling: names and labels as the Collector's, without those that only it adds. */
function samples(text: string): string[] {
  const found: string[] = []
  for (const [, name, labels = '', value] of text.matchAll(/^(traces_span\w+)\{(.*)\} (\S+)$/gm)) {
    const kind = /_(calls_total|bucket|count)$/.exec(name!)?.[1]
    if (!kind || value === '0') continue
    const kept = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)]
      .filter(([, label]) => /^(service|service_name|span_name|span_kind|status_code|le)$/.test(label!))
      .map(([, label, content]) => `${label === 'service' ? 'service_name' : label}=${content}`)
    found.push(`${kind}{${kept.sort().join()}} ${value}`)
  }
  return found.sort()
}
