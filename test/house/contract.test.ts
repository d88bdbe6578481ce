// The promises of every part: well-named families, a start on a machine where nothing can be read, no
// number that was not declared, and an end that leaves nothing behind.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { type OtlpRunning, otlp, accepted as otlpAccepted } from '../../collectors/otlp.ts'
import { web } from '../../exporter/web.ts'
import { flag, live, section } from '../../options/kinds.ts'
import { families, list, parts, readOptions } from '../../parts.ts'
import { logs } from '../../processors/logs.ts'
import { StartedParts } from '../../sidecar/started.ts'
import { type Sidecar, startSidecar } from '../../sidecar.ts'
import type { IntakeHost } from '../../telemetry/intake.ts'
import { ld } from '../otlp/requests.ts'
import { world } from '../world.ts'

/** Words that end a base unit or a count of things (prometheus.io/docs/practices/naming). */
const UNITS = /_(seconds|bytes|ratio|cores|info)(_total)?$/
/** Labels that belong to the scraper or to the writers. */
const RESERVED = ['le', 'quantile', 'job', 'instance', '__name__', 'pid']

t.test('family names are unique, and no family is another one’s sample', async t => {
  const names = families.flatMap(({ name, kind }) =>
    kind === 'histogram' ? [name, `${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
  )
  t.same(
    names.filter((name, i) => names.indexOf(name) !== i),
    [],
  )
})

for (const [name, part] of Object.entries(parts))
  t.test(`${name} declares its families as Prometheus wants them`, async t => {
    t.equal(part.name, name, 'one word everywhere')
    t.match(part.about, /^[A-Z].*\.$/s, 'about is a sentence')
    for (const family of part.families) {
      t.match(family.name, /^(app|traces|pillion)_[a-z0-9_]+$/, `${family.name}: prefix and characters`)
      t.equal(family.name.endsWith('_total'), family.kind === 'counter', `${family.name}: _total on counters only`)
      t.match(family.help, /\S.*[.!]$/s, `${family.name}: help is a sentence`)
      t.notMatch(family.name, /_(milliseconds|ms|minutes|kilobytes|kb|mb|percent)(_|$)/, `${family.name}: base units`)
      t.same(
        family.labels.filter(label => RESERVED.includes(label) || !/^[a-z_][a-z0-9_]*$/.test(label)),
        [],
        `${family.name}: labels`,
      )
      if (family.kind === 'histogram') {
        // Tempo's histogram has no unit in its name, and Grafana reads it by that name.
        if (family.name !== 'traces_spanmetrics_latency') t.match(family.name, UNITS, `${family.name}: unit`)
        const sorted = [...(family.buckets ?? [])].sort((a, b) => a - b)
        t.same(family.buckets, sorted, `${family.name}: bounds ascend`)
      }
    }
  })

/** The whole sidecar on a machine with an empty /proc, beside nothing. */
async function bare(flags: Readonly<Record<string, string>> = {}): Promise<Sidecar & { readonly proc: string }> {
  const flights = mkdtempSync(join(tmpdir(), 'flights-'))
  t.teardown(() => rmSync(flights, { recursive: true, force: true }))
  const environment = {
    PILLION_WEB_LISTEN: '127.0.0.1:0',
    PILLION_OTLP_HTTP_LISTEN: '127.0.0.1:0',
    PILLION_OTLP_GRPC_LISTEN: '127.0.0.1:0',
    // Off unless there is something to push to; nobody is there, and the first push is not waited for.
    PILLION_PUSH_ENDPOINT: 'http://127.0.0.1:1/',
    PILLION_PUSH_INTERVAL: '1h',
    // Off unless it listens. It is not started, and none answers.
    PILLION_TAP_LISTEN: '127.0.0.1:9',
    PILLION_TAP_UPSTREAM: '127.0.0.1:8',
    PILLION_TAP_STATUS: '127.0.0.1:1',
    PILLION_TAP_START: 'false',
    // Off unless there is something to follow; nothing is there.
    PILLION_FILES_PATHS: '/none/*.log',
    // Off unless there is a folder for records.
    PILLION_FLIGHT_DIR: flights,
    ...flags,
  }
  if (environment.PILLION_PUSH_ENDPOINT === 'off') Reflect.deleteProperty(environment, 'PILLION_PUSH_ENDPOINT')
  const reading = await readOptions({ environment })
  if (!reading.ok) throw new Error(reading.problems.map(problem => problem.text).join('\n'))
  const proc = mkdtempSync(join(tmpdir(), 'proc-'))
  t.teardown(() => rmSync(proc, { recursive: true, force: true }))
  return { ...(await startSidecar(reading.values, world(proc))), proc }
}

/** The families on the page of this sidecar. */
async function shown(sidecar: Sidecar): Promise<readonly string[]> {
  const { chunks } = await sidecar.scrape.scrape(undefined, AbortSignal.timeout(10_000))
  return [
    ...Buffer.concat(chunks)
      .toString()
      .matchAll(/^# TYPE (\S+)/gm),
  ].map(([, name]) => name!)
}

/** Parts that make telemetry with the options above. */
const FEEDING = ['files', 'flight', 'tap']

for (const [name, part] of Object.entries(list))
  t.test(`without ${name} the sidecar starts, answers and shows none of its families`, async t => {
    const section = `PILLION_${name.toUpperCase()}`
    const off: Readonly<Record<string, Record<string, string>>> = {
      // Parts that make telemetry need its intake, and are switched off too.
      otlp: {
        [`${section}_HTTP_LISTEN`]: 'off',
        [`${section}_GRPC_LISTEN`]: 'off',
        PILLION_FILES_ENABLED: 'false',
        PILLION_FLIGHT_ENABLED: 'false',
        PILLION_TAP_ENABLED: 'false',
      },
      web: { [`${section}_LISTEN`]: 'off' },
      push: { [`${section}_ENDPOINT`]: 'off' },
    }
    // Without an upstream, forwarding would be off in each of them. Nothing is sent there, since nothing comes in.
    const on = { PILLION_FORWARD_ENDPOINT: 'http://127.0.0.1:9' }
    await using sidecar = await bare({ ...on, ...(off[name] ?? { [`${section}_ENABLED`]: 'false' }) })
    const own = new Set<string>(part.families.map(family => family.name))
    const families = await shown(sidecar)
    t.ok(families.length > 10)
    t.same(
      families.filter(family => own.has(family)),
      [],
    )
    t.equal(sidecar.listeners.web === undefined, name === 'web')
    if (sidecar.listeners.web === undefined) return
    t.equal((await fetch(`${sidecar.listeners.web}/-/ready`)).status, 200)
    const { parts } = (await (await fetch(`${sidecar.listeners.web}/api/status`)).json()) as {
      parts: { name: string }[]
    }
    t.same(
      parts.map(each => each.name),
      [...Object.keys(list).filter(each => each !== name && !(name === 'otlp' && FEEDING.includes(each))), 'config'],
      'the rest is shown in the order of the list',
    )
    sidecar.uncaught()
  })

t.test('/-/ready is 503 while a part starts and while one stops, and the web server outlives all others', async t => {
  const [begin, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const slow = {
    name: 'slow',
    about: 'Takes its time.',
    families: [],
    options: undefined,
    async start() {
      await begin.promise
      return { [Symbol.asyncDispose]: () => end.promise }
    },
  }
  const reading = await readOptions({ environment: { PILLION_WEB_LISTEN: '127.0.0.1:0' } })
  if (!reading.ok) throw new Error(JSON.stringify(reading.problems))
  const parts = new StartedParts()
  const host = {
    ...world('/nowhere'),
    scrape: async () => ({ contentType: 'text/plain', chunks: [] }),
    status: () => ({ version: '', uptimeSeconds: 0, application: {}, parts: [], ledger: [] }),
    unready: () => parts.unready,
  }
  const starting = parts.start({ slow, web }, reading.values, host)
  while (parts.all.length === 0) await new Promise(setImmediate)
  const running = parts.all[0]!.running as Awaited<ReturnType<typeof web.start>>
  const ready = async (): Promise<string> => {
    const answer = await fetch(`http://127.0.0.1:${running.address()?.port}/-/ready`)
    return `${answer.status} ${await answer.text()}`
  }
  t.equal(await ready(), '503 not ready: slow is starting\n')
  begin.resolve()
  await starting
  t.equal(await ready(), '200 ready\n')
  const stopping = parts[Symbol.asyncDispose]()
  t.equal(await ready(), '503 not ready: stopping\n')
  end.resolve()
  await stopping
  await t.rejects(ready())
})

t.test('a part that cannot start ends those that were started before it', async t => {
  const ended: string[] = []
  const part = (name: string, start: () => void) => ({
    name,
    about: 'A part.',
    families: [],
    options: undefined,
    start() {
      start()
      return { [Symbol.asyncDispose]: async () => void ended.push(name) }
    },
  })
  const fails = part('fails', () => {
    throw new Error('the port is taken')
  })
  const nothing = (): void => {}
  const parts = new StartedParts()
  const all = { never: part('never', nothing), fails, second: part('second', nothing), first: part('first', nothing) }
  await t.rejects(parts.start(all, {}, world('/nowhere')), { message: 'the port is taken' })
  await parts[Symbol.asyncDispose]()
  t.same(ended, ['second', 'first'])
})

t.test('a part with live options that cannot take them is refused', async t => {
  const part = {
    name: 'deaf',
    about: 'A part.',
    families: [],
    options: section('Options.', { loud: live(flag('Loud.', { default: true })) }),
    start: () => ({ [Symbol.asyncDispose]: async () => {} }),
  }
  await using parts = new StartedParts()
  await t.rejects(parts.start({ part }, {}, world('/nowhere')), { message: /cannot reload deaf: .* prepare/ })
})

t.test('with both listeners off the intake runs if a part that makes telemetry runs, and only then', async t => {
  const environment = { PILLION_OTLP_HTTP_LISTEN: 'off', PILLION_OTLP_GRPC_LISTEN: 'off' }
  const reading = await readOptions({ environment })
  if (!reading.ok) throw new Error(JSON.stringify(reading.problems))
  const f = async (tail: { readonly enabled: boolean }, expected: readonly string[]): Promise<void> => {
    await using parts = new StartedParts()
    const host = {
      ...world('/nowhere'),
      consumers: parts.consumers,
      intake: () => (parts.all.find(part => part.name === 'otlp')!.running as OtlpRunning).intake,
    }
    const decisions: unknown[] = []
    const tailed = {
      name: 'tailed',
      about: 'Makes a log record.',
      families: [],
      options: undefined,
      feeds: () => true,
      async start(_: unknown, { intake }: IntakeHost) {
        decisions.push(await intake().offer('logs', ld(1, ld(2, ld(2)))))
        return { [Symbol.asyncDispose]: async () => {} }
      },
    }
    await parts.start({ tailed, otlp, logs }, { ...reading.values, tailed: tail }, host)
    t.same(
      parts.all.map(part => part.name),
      expected,
    )
    for (const part of parts.all) await part.collect(AbortSignal.timeout(1000))
    const accepted = await host.metrics.samples(otlpAccepted)
    const counted = accepted.find(({ labels }) => labels['signal'] === 'logs')?.value
    t.same([decisions, counted], tail.enabled ? [[{ kind: 'taken', rejected: 0, text: '' }], 1] : [[], undefined])
  }
  await f({ enabled: true }, ['tailed', 'otlp', 'logs'])
  await f({ enabled: false }, ['logs'])
})

t.test('beside nothing, on a machine where nothing can be read, every part starts, answers and ends', async t => {
  const sidecar = await bare()
  const { chunks } = await sidecar.scrape.scrape(undefined, AbortSignal.timeout(10_000))
  const text = Buffer.concat(chunks).toString()
  const failed = text.split('\n').filter(line => /^pillion_collector_success\{.*\} 0$/.test(line))
  t.same(failed, [], 'nothing to read is not a failure')
  t.match(text, /^pillion_build_info\{/m)
  t.notMatch(text, /\bNaN\b/, 'absent rather than not a number')

  const declared = new Set(families.map(family => family.name))
  const emitted = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name!)
  t.same(
    emitted.filter(name => !declared.has(name)),
    [],
    'every family on the page is declared',
  )
  await sidecar[Symbol.asyncDispose]()
  await sidecar[Symbol.asyncDispose]()
  t.pass('ending twice is ending once')
})

t.test('a taken port leaves nothing listening behind', async t => {
  const first = await bare()
  const port = new URL(first.listeners.web!).port
  await t.rejects(bare({ PILLION_WEB_LISTEN: `127.0.0.1:${port}` }), { message: new RegExp(`:${port}.*web\\.listen`) })
  await first[Symbol.asyncDispose]()
})
