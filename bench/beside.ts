// Two builds of Pillion under the same load in turn: CPU nanoseconds a span of each, and their ratio in each pair of turns. It
// answers whether a change wins, also on a machine that others use.
//
//   node bench/beside.ts OLD/dist/main.js NEW/dist/main.js [--ways http:20,grpc:20,http:512:gzip] [--same] [--rounds 6]
//
// --same switches off the parts that the Collector's pipeline does not have; --bare adds node:http that decodes nothing.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { median, table } from './figures.ts'
import { send } from './load.ts'
import { cpuSeconds } from './machine.ts'
import { ceiling } from './rivals/ceiling.ts'
import { SAME_PARTS } from './rows/intake.ts'
import { Run } from './run.ts'
import { pillion, type Server } from './server.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    ways: { type: 'string', default: 'http:512,http:20,http:5,grpc:512,grpc:20' },
    same: { type: 'boolean', default: false },
    bare: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '0.8' },
    connections: { type: 'string', default: '8' },
  },
})

const folder = mkdtempSync(join(tmpdir(), 'pillion-beside-'))
try {
  const run = new Run(folder, false, false)
  await using servers = new AsyncDisposableStack()
  const flags = values.same ? SAME_PARTS : []
  const all: Server[] = []
  for (const main of positionals) all.push(servers.use(await pillion(flags, { name: main, main })))
  if (values.bare) all.push(servers.use(await ceiling()))
  const rows: string[][] = []
  for (const way of values.ways.split(',')) {
    const [protocol, spans, packing] = way.split(':')
    const bodies = await run.bodies(Number(spans))
    const costs = new Map<Server, number[]>(all.map(server => [server, []]))
    for (let round = -1; round < Number(values.rounds); round++)
      for (const server of all) {
        const before = cpuSeconds(server.pid)
        const { requests } = await send({
          protocol: protocol === 'grpc' ? 'grpc' : 'http',
          port: protocol === 'grpc' ? server.grpc : server.http,
          bodies: packing === 'gzip' ? bodies.gzip : bodies.plain,
          gzip: packing === 'gzip',
          connections: Number(values.connections),
          seconds: Number(values.seconds),
        })
        await sleep(200)
        const nanoseconds = ((cpuSeconds(server.pid) - before) * 1e9) / (requests * bodies.spans)
        if (round >= 0) costs.get(server)!.push(nanoseconds)
      }
    const [first = []] = costs.values()
    rows.push([
      way,
      ...[...costs.values()].map(cost => median(cost).toFixed(0)),
      ...[...costs.values()].slice(1).map(cost => `${median(cost.map((each, i) => first[i]! / each)).toFixed(2)} ×`),
    ])
    console.log(rows.at(-1)!.join('\t'))
  }
  console.log(table(['', ...all.map(each => each.name), ...all.slice(1).map(() => 'beside the first')], rows))
} finally {
  rmSync(folder, { recursive: true, force: true })
}
