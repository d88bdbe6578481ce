// Attacks on the whole sidecar in a process of its own that cost it nothing and must change nothing.

import t from 'tap'
import { startSidecar } from '../e2e/ride.ts'
import { attribute, hex, ld, span, traces } from './requests.ts'

t.test('names that try to forge lines of the page stay inside their labels', async t => {
  await using ride = await startSidecar()
  const post = async (body: Buffer): Promise<number> => {
    const headers = { 'content-type': 'application/x-protobuf' }
    const answer = await fetch(`${ride.otlp}/v1/traces`, { method: 'POST', headers, body: new Uint8Array(body) })
    await answer.arrayBuffer()
    return answer.status
  }
  const names = [
    'a"} 1\nevil{x="',
    'a\\',
    'a\rb',
    'a\0b',
    '\u2028',
    '# HELP evil x\n# TYPE evil counter',
    'x\\"} 2\nevil 3',
  ]
  const surrogate = ld(5, hex('61eda080'))
  for (const name of names) t.equal(await post(traces([attribute(1, 'service.name', name)], span(name))), 200)
  t.equal(await post(traces([], Buffer.concat([span('a'), surrogate]))), 200, 'half a surrogate pair')
  const page = await ride.scrape()
  t.notMatch(page, /^evil/m)
  t.notMatch(page, /^# (HELP|TYPE) evil/m)
  const sample =
    /^[a-zA-Z_:][\w:]*(?:\{[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*"(?:,[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*")*\})? [-+.\deInfNa]+$/
  t.same(
    page.split('\n').filter(line => line !== '' && !line.startsWith('# ') && !sample.test(line)),
    [],
  )
  // '.' would not pass the U+2028 and the carriage return, which may stand in a value as they are.
  const calls = [...page.matchAll(/^traces_spanmetrics_calls_total\{[^\n]*\} (\d+)$/gm)]
  t.equal(
    calls.reduce((sum, [, count]) => sum + Number(count), 0),
    names.length + 1,
  )
})
