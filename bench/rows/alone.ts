// The cost of the sidecar while little or nothing is sent: start, rest, probes; and the delay of its event loop under load.

import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'
import { advantage, type Row as Line, median, table } from '../figures.ts'
import { send } from '../load.ts'
import { cpuSeconds } from '../machine.ts'
import { ceiling } from '../rivals/ceiling.ts'
import { otelcol } from '../rivals/otelcol.ts'
import type { Row, Run } from '../run.ts'
import { freePort, launch, pillion, type Server, scrape } from '../server.ts'

export const start: Row = {
  name: 'start',
  title: 'Start',
  async measure(run) {
    const lines: Line[] = []
    const all: [string, () => Promise<Server>][] = [
      ['Pillion, built', () => pillion()],
      ['node with an HTTP and an HTTP/2 server', ceiling],
    ]
    if (run.collector) all.push(['Collector', () => otelcol({ folder: run.folder })])
    for (const [name, make] of all) {
      const seconds: number[] = []
      const cpu: number[] = []
      for (let i = 0; i < run.rounds + 2; i++) {
        await using server = await make()
        seconds.push(server.start.seconds)
        cpu.push(server.start.cpu)
      }
      lines.push([name, (median(seconds) * 1000).toFixed(0), (median(cpu) * 1000).toFixed(0)])
      if (name.startsWith('Pillion'))
        run.budget('start to ready, CPU', '≤ 0.5 s', `${median(cpu).toFixed(2)} s`, median(cpu) <= 0.5)
    }
    return `From the start of the process to its first answer.\n\n${table(['', 'ms', 'CPU ms'], lines)}`
  },
}

export const rest: Row = {
  name: 'rest',
  title: 'At rest',
  async measure(run) {
    await using app = await ceiling()
    const url = `http://127.0.0.1:${app.http}/`
    const probe = (n: number) => [`--health.probes.${n}.name=p${n}`, `--health.probes.${n}.url=${url}`]
    await using server = await pillion(['--app.url', url, ...probe(0), ...probe(1)])
    await sleep(3000)
    const seconds = run.quick ? 15 : 30
    const before = cpuSeconds(server.pid)
    for (let i = 0; i < seconds / 15; i++) {
      await scrape(server)
      await sleep(15_000)
    }
    const share = ((cpuSeconds(server.pid) - before) / seconds) * 100
    run.budget('CPU at rest', '≤ 0.5 % of a core', `${share.toFixed(2)} %`, share <= 0.5)
    return `Two HTTP probes each 10 s, a scrape each 15 s, an application to observe, for ${seconds} s: ${share.toFixed(2)} % of a core.`
  },
}

export const loop: Row = {
  name: 'loop',
  title: 'Delay of the event loop',
  async measure(run) {
    const preload = new URL('../loopdelay.ts', import.meta.url).href
    await using server = await pillion([], { preload })
    const ask = async (): Promise<{ p99: number; most: number }> => {
      const answer = once(server.process, 'message')
      server.process.send({ since: 'now' })
      return (await answer)[0]
    }
    const lines: Line[] = []
    const seconds = run.quick ? 3 : 6
    const bodies = await run.bodies(20)
    await sleep(2000)
    for (const rate of [0, 1000, 10_000, 30_000]) {
      const sending = (length: number) =>
        rate === 0
          ? sleep(length * 1000)
          : send({
              ...{ protocol: 'http', port: server.http, bodies: bodies.plain, gzip: false, connections: 4 },
              ...{ seconds: length, rate: rate / 20 },
            })
      await sending(1)
      await ask()
      await sending(seconds)
      const { p99, most } = await ask()
      lines.push([String(rate), p99.toFixed(1), most.toFixed(1)])
      if (rate === 10_000)
        run.budget('event loop delay, p99, at 10 000 spans/s', '≤ 30 ms', `${p99.toFixed(1)} ms`, p99 <= 30)
    }
    const head = ['spans a second', 'p99 ms', 'most ms']
    return `OTLP/HTTP, 20 spans a request. A timer of 1 ms; what it shows at rest is the floor of the method.\n\n${table(head, lines)}`
  },
}

const BLACKBOX = 'prometheus-blackbox-exporter'

export const probes: Row = {
  name: 'probes',
  title: 'HTTP probes',
  async measure(run) {
    await using app = await ceiling()
    const url = `http://127.0.0.1:${app.http}/`
    const seconds = run.quick ? 4 : 8
    const each = ['url', 'interval'].map(
      key => (n: number) => `--health.probes.${n}.${key}=${key === 'url' ? url : '100ms'}`,
    )
    const flags = Array.from({ length: 10 }, (_, n) => [
      `--health.probes.${n}.name=p${n}`,
      ...each.map(make => make(n)),
    ])
    await using ours = await pillion(flags.flat())
    await sleep(1500)
    const probed = async () =>
      [...(await scrape(ours)).matchAll(/^app_health_probes_total\{.*\} (\d+)/gm)].reduce(
        (sum, [, n]) => sum + Number(n),
        0,
      )
    const begin = await probed()
    const before = cpuSeconds(ours.pid)
    await sleep(seconds * 1000)
    const used = cpuSeconds(ours.pid) - before
    const mine = (used / ((await probed()) - begin)) * 1e6
    const lines: Line[] = [['Pillion, on its own schedule', mine.toFixed(0), '']]
    if (!spawnSync(BLACKBOX, ['--version']).error) {
      const metrics = await freePort()
      await using theirs = await launch({
        name: 'blackbox exporter',
        command: BLACKBOX,
        args: ['--config.file', '/etc/prometheus/blackbox.yml', '--web.listen-address', `127.0.0.1:${metrics}`],
        ports: { http: 0, grpc: 0, metrics },
        ready: `http://127.0.0.1:${metrics}/metrics`,
      })
      const ask = async (times: number) => {
        for (let i = 0; i < times; i++)
          await (
            await fetch(`http://127.0.0.1:${metrics}/probe?module=http_2xx&target=${encodeURIComponent(url)}`)
          ).text()
      }
      await ask(50)
      const start = cpuSeconds(theirs.pid)
      await ask(500)
      const other = ((cpuSeconds(theirs.pid) - start) / 500) * 1e6
      lines.push([
        'blackbox exporter, which probes when it is scraped',
        other.toFixed(0),
        advantage(other / mine, 'it'),
      ])
    }
    return `CPU microseconds of the whole process for one probe; ours at 100 a second.\n\n${table(['', 'µs', 'beside it'], lines)}`
  },
}

/** A row made of the output of a program in bench/. */
function printed(
  name: string,
  title: string,
  file: string,
  about: string,
  args: readonly string[],
  judge?: (run: Run, text: string) => void,
): Row {
  return {
    name,
    title,
    async measure(run) {
      const path = fileURLToPath(new URL(`../${file}`, import.meta.url))
      const { stdout, status } = spawnSync(process.execPath, [path, ...args], { encoding: 'utf8' })
      if (status !== 0) throw new Error(`${file} failed with ${status}`)
      judge?.(run, stdout)
      return `${about}\n\n\`\`\`text\n${stripVTControlCharacters(stdout).trim()}\n\`\`\``
    },
  }
}

export const decode = printed(
  'decode',
  'Decoding alone',
  'decode.ts',
  'The walk over the bytes and the visit, in one process with protobufjs.',
  ['0.6'],
)

const MERGE_MS = 10
export const merge = printed(
  'merge',
  'Merging the application’s own /metrics',
  'merge.ts',
  'A page in text with histograms of four labels, read and written again, in one process.',
  [],
  (run, text) => {
    // The first figure is that of 10 000 lines.
    const ms = Number(/read, write as OpenMetrics\s+([\d.]+) ms/.exec(text)?.[1])
    run.budget('merging 10 000 lines, CPU', `≤ ${MERGE_MS} ms`, `${ms} ms`, ms <= MERGE_MS)
  },
)

export const sampling = printed(
  'sampling',
  'Sampling traces before they are forwarded',
  'sampling.ts',
  'The walk, the visit and the copy into the queue, in one process, without a sampler and with one that takes 20,000 spans a second.',
  ['0.6'],
)

const INSIGHT_NS = 150
export const insight = printed(
  'insight',
  'Critical path and blame',
  'insight.ts',
  'The walk and the visit of spans in one process, at 20,000 spans a second, and what looking at whole requests adds to a span.',
  [],
  (run, text) => {
    // The first figure is that of 512 a request.
    const ns = Number(/^\| blame \| this \| (\d+)/m.exec(text)?.[1])
    run.budget('critical path and blame, a span, 512 a request', `≤ ${INSIGHT_NS} ns`, `${ns} ns`, ns <= INSIGHT_NS)
  },
)

const PROC_US = 100
export const proc = printed(
  'proc',
  'Reading /proc',
  'proc.ts',
  'One look at the processes of the application.',
  [],
  (run, text) => {
    // The first figure is that of one process.
    const us = Number(/base files.*?([\d.]+) µs CPU/.exec(text)?.[1])
    run.budget('/proc, all base files of one process, CPU', `≤ ${PROC_US} µs`, `${us} µs`, us <= PROC_US)
  },
)

export const labelSets = printed(
  'label-sets',
  'Memory of a label set and of an edge',
  'series.ts',
  'Bytes held after a collection, for each operation (two label sets, with its errors) and for each edge of the service graph.',
  [],
)

const APART_US = 5
export const token = printed(
  'token',
  'Refusing a token',
  'token.ts',
  'Time to judge a token, by how much of it is right: it must not tell.',
  [],
  (run, text) => {
    const us = Number(/([\d.]+) µs apart/.exec(text)?.[1])
    run.budget('wrong tokens and the right one, apart', `≤ ${APART_US} µs`, `${us} µs`, us <= APART_US)
  },
)

export const packages = printed(
  'packages',
  'Loading the packages',
  'weigh.ts',
  'Resident memory and CPU of loading each runtime package into a fresh process, the middle of five.',
  [],
)
