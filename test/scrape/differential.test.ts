// The merge beside Prometheus' own parser, over pages made at random: of a page that it accepts, all formats show the same
// samples; and whatever becomes of a broken one, it and the strict OpenMetrics parser accept what is written.

import t from 'tap'
import { needs } from '../points/programs.ts'
import { type Asked, absent, judged, objections, scanned, unpacked, written } from './judges.ts'
import { broken, Chance, type Format, page } from './pages.ts'

t.setTimeout(300_000)

const FORMATS = ['text', 'openmetrics'] as const
const PAGES = Number(process.env['PAGES'] ?? 1500)

interface Made {
  readonly seed: number
  readonly format: Format
  readonly body: Buffer
}

function made(make: (chance: Chance, format: Format) => Buffer): Made[] {
  return Array.from({ length: PAGES }, (_, seed) => {
    const format = FORMATS[seed % 2]!
    return { seed, format, body: make(new Chance(seed), format) }
  })
}

function sorted(samples: readonly (readonly [string, string])[]): string[] {
  return samples.map(([series, value]) => `${series} ${value}`).sort()
}

/** Labels without a value are none to Prometheus; its parser still shows them. */
function withoutEmpty(samples: readonly (readonly [string, string])[] | null): [string, string][] {
  return (samples ?? []).map(([series, value]) => [
    series.replace(/(?:, )?[\w"._]+=""(?=[,}])/g, '').replace('{, ', '{'),
    value,
  ])
}

t.test('of a page that Prometheus accepts every sample is shown, in each format', { skip: absent }, async t => {
  const pages = made((chance, format) => Buffer.from(page(chance, format)))
  const before = judged(pages)
  const asked: (Asked & { seed: number })[] = []
  let accepted = 0
  for (const [place, { seed, format, body }] of pages.entries()) {
    if (before[place]!.error !== undefined) continue
    // A label without a value is none, so these are one series.
    const series = withoutEmpty(before[place]!.samples).map(([each]) => each)
    if (new Set(series).size < series.length) continue
    accepted++
    const { page: read, scanner } = scanned(body, format)
    const { syntax, utf8, limits } = scanner.dropped
    if (syntax + utf8 + limits > 0) t.fail(`seed ${seed}: ${JSON.stringify(scanner.dropped)}\n${body}`)
    for (const to of ['text', 'openmetrics', 'protobuf'] as const)
      asked.push({ seed, format: to, body: written(read, to) })
  }
  t.ok(accepted > PAGES / 2, `${accepted} of ${PAGES} pages are valid`)
  const after = judged(asked)
  for (const [place, { seed, format, body }] of asked.entries()) {
    const verdict = after[place]!
    const wanted = sorted(withoutEmpty(before[seed]!.samples))
    // Only protobuf has start times of its own; there they are no samples.
    const expected = format === 'protobuf' ? wanted.filter(each => !/_created"/.test(each)) : wanted
    const got = sorted(withoutEmpty(verdict.samples))
    const found = format === 'protobuf' ? got.filter(each => !/_created"/.test(each)) : got
    if (verdict.error !== undefined || found.join('\n') !== expected.join('\n')) {
      t.same({ error: verdict.error, found }, { error: undefined, found: expected }, `seed ${seed} to ${format}`)
      t.comment(pages[seed]!.body.toString())
      if (format !== 'protobuf') t.comment(body.toString())
      return
    }
  }
  t.pass(`${asked.length} pages say the same`)
})

t.test('exemplars and start times go on to the formats that have them', { skip: absent }, async t => {
  const pages = made((chance, format) => Buffer.from(page(chance, format))).filter(
    ({ format }) => format === 'openmetrics',
  )
  const before = judged(pages)
  const kept = pages.filter((_, place) => before[place]!.error === undefined)
  const sum = (verdicts: readonly { readonly exemplars: number }[]) =>
    verdicts.reduce((all, each) => all + each.exemplars, 0)
  const to = (format: 'openmetrics' | 'protobuf') =>
    judged(kept.map(({ body }) => ({ format, body: written(scanned(body, 'openmetrics').page, format) })))
  const offered = sum(before.filter(each => each.error === undefined))
  // A family without its type has no exemplars, and neither has a message for an exemplar without labels.
  t.ok(sum(to('openmetrics')) > 0.8 * offered, `${sum(to('openmetrics'))} of ${offered}`)
  t.ok(sum(to('protobuf')) > 0.4 * offered, `${sum(to('protobuf'))} of ${offered}`)
  t.ok(to('protobuf').reduce((all, each) => all + each.starts, 0) > 100)
})

t.test('the lines kept of a broken page are accepted by Prometheus in each format', { skip: absent }, async t => {
  const pages = made((chance, format) => broken(chance, page(chance, format, true)))
  const asked: (Asked & { seed: number })[] = []
  let dropped = 0
  for (const { seed, format, body } of pages) {
    const { page: read, scanner } = scanned(body, format)
    for (const each of Object.values(scanner.dropped)) dropped += each
    for (const to of ['text', 'openmetrics', 'protobuf'] as const)
      for (const utf8 of [true, false]) asked.push({ seed, format: to, body: written(read, to, utf8) })
  }
  t.ok(dropped > PAGES / 4, `${dropped} lines were bad`)
  for (const [place, { error }] of judged(asked).entries())
    if (error !== undefined) {
      const { seed, body, format } = asked[place]!
      t.fail(`seed ${seed} to ${format}: ${error}`)
      t.comment(JSON.stringify(pages[seed]!.body.toString('latin1')))
      t.comment(body.toString())
      return
    }
  t.pass(`${asked.length} pages`)
})

t.test('and its OpenMetrics by the strict parser of the Python client', { skip: needs.python }, async t => {
  const pages = [
    ...made((chance, format) => Buffer.from(page(chance, format, true))),
    ...made((chance, format) => broken(chance, page(chance, format, true))),
  ]
  // That parser does not know names in UTF-8.
  const bodies = pages.map(({ body, format }) => written(scanned(body, format).page, 'openmetrics', false))
  for (const [place, objection] of objections(bodies).entries())
    if (objection !== '') {
      t.fail(`seed ${pages[place]!.seed}: ${objection}`)
      t.comment(pages[place]!.body.toString('latin1'))
      t.comment(bodies[place]!.toString())
      return
    }
  t.pass(`${bodies.length} pages`)
})

t.test('a page that was read and written once stays as it is', async t => {
  for (const { seed, format, body } of made((chance, format) => Buffer.from(page(chance, format)))) {
    const once = written(scanned(body, format).page, 'openmetrics')
    const twice = written(scanned(once, 'openmetrics').page, 'openmetrics')
    if (!once.equals(twice)) {
      t.equal(twice.toString(), once.toString(), `seed ${seed}`)
      return
    }
  }
  t.pass(`${PAGES} pages`)
})

t.test('protobuf says the same in text, and damaged messages do no harm', { skip: absent }, async t => {
  const valid = made((chance, format) => Buffer.from(page(chance, format)))
  const asked: (Asked & { seed: number })[] = []
  const originals: Asked[] = []
  for (const { seed, format, body } of valid) {
    const protobuf = written(scanned(body, format).page, 'protobuf')
    const { page: read, text, messages } = unpacked(protobuf)
    const lost = Object.values(messages.dropped).reduce((sum, each) => sum + each, 0)
    if (lost > 0 || messages.broken) t.fail(`seed ${seed}: ${JSON.stringify(messages.dropped)}`)
    if (!written(read, 'protobuf').equals(protobuf)) t.fail(`seed ${seed}: the messages are not what they were`)
    originals.push({ format: 'protobuf', body: protobuf })
    asked.push({ seed, format: 'text', body: written(text, 'text') })
  }
  const wanted = judged(originals)
  for (const [place, verdict] of judged(asked).entries()) {
    const expected = sorted(withoutEmpty(wanted[place]!.samples)).filter(each => !/_created"/.test(each))
    const found = sorted(withoutEmpty(verdict.samples)).filter(each => !/_created"/.test(each))
    if (verdict.error !== undefined || found.join('\n') !== expected.join('\n')) {
      t.same({ error: verdict.error, found }, { error: undefined, found: expected }, `seed ${place}`)
      t.comment(valid[place]!.body.toString())
      t.comment(asked[place]!.body.toString())
      return
    }
  }
  const damaged: (Asked & { seed: number })[] = []
  for (const { seed } of valid) {
    const chance = new Chance(seed)
    const body = Buffer.from(originals[seed]!.body)
    for (let i = chance.below(5) + 1; i > 0 && body.length > 0; i--) body[chance.below(body.length)] = chance.below(256)
    const { page: read, text, messages } = unpacked(body)
    if (messages.broken) continue
    damaged.push({ seed, format: 'protobuf', body: written(read, 'protobuf', false) })
    damaged.push({ seed, format: 'text', body: written(text, 'text', false) })
    damaged.push({ seed, format: 'openmetrics', body: written(text, 'openmetrics') })
  }
  t.ok(damaged.length > PAGES)
  for (const [place, { error }] of judged(damaged).entries())
    if (error !== undefined) {
      t.fail(`seed ${damaged[place]!.seed} to ${damaged[place]!.format}: ${error}`)
      t.comment(damaged[place]!.body.toString())
      return
    }
  t.pass(`${damaged.length} pages`)
})
