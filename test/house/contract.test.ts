// What every part promises, whoever wrote it: well-named families, a start on a machine where nothing can be read, no
// number that was not declared, and an end that leaves nothing behind.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { families, parts, readOptions } from '../../parts.ts'
import { type Sidecar, startSidecar } from '../../sidecar.ts'
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
  const environment = {
    PILLION_WEB_LISTEN: '127.0.0.1:0',
    PILLION_OTLP_HTTP_LISTEN: '127.0.0.1:0',
    PILLION_OTLP_GRPC_LISTEN: '127.0.0.1:0',
    ...flags,
  }
  const reading = await readOptions({ environment })
  if (!reading.ok) throw new Error(reading.problems.map(problem => problem.text).join('\n'))
  const proc = mkdtempSync(join(tmpdir(), 'proc-'))
  t.teardown(() => rmSync(proc, { recursive: true, force: true }))
  return { ...(await startSidecar(reading.values, world(proc))), proc }
}

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
  const port = new URL(first.doors.web!).port
  await t.rejects(bare({ PILLION_WEB_LISTEN: `127.0.0.1:${port}` }), { message: new RegExp(`:${port}.*web\\.listen`) })
  await first[Symbol.asyncDispose]()
})
