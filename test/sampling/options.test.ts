// The options of sampling, as a file or a flag writes them.

import t from 'tap'
import { section } from '../../options/kinds.ts'
import { read } from '../../options/read.ts'
import { samples, samplingOptions } from '../../telemetry/sampler.ts'

async function given(text: string) {
  const reading = await read(section('', { sampling: samplingOptions }), {
    environment: {},
    file: { name: 'test.yaml', text: `sampling: ${text}` },
  })
  return reading.ok ? reading.values.sampling : reading.problems.map(each => each.text).join('\n')
}

t.test('by default nothing is sampled; a ratio or a limit does it', async t => {
  const f = async (text: string, expected: boolean) => {
    const values = await given(text)
    t.equal(typeof values !== 'string' && samples(values), expected, text)
  }
  await f('{}', false)
  await f('{ errors: false, slow: off }', false)
  await f('{ ratio: 1 }', false)
  await f('{ ratio: 0.99 }', true)
  await f('{ ratio: 0 }', true)
  await f('{ max_spans_per_second: 10 }', true)
  await f('{ max_bytes_per_second: 1MiB }', true)
})

t.test('a ratio is a number from 0 to 1 or a percentage', async t => {
  const f = async (text: string, expected: number | RegExp) => {
    const values = await given(`{ ratio: ${text} }`)
    if (typeof expected === 'number') t.equal(typeof values === 'string' ? values : values.ratio, expected, text)
    else t.match(values, expected, text)
  }
  await f('0', 0)
  await f('1', 1)
  await f('0.05', 0.05)
  await f('"0.05"', 0.05)
  await f('5%', 0.05)
  await f('12.5%', 0.125)
  await f('100%', 1)
  const refused = /ratio: must be a number from 0 to 1, or a percentage such as 5%, not/
  for (const wrong of ['2', '-0.1', '101%', '"5 %"', 'all', 'true', '.inf', '"1e-2"']) await f(wrong, refused)
})

t.test('slow is p99, a duration or off', async t => {
  const f = async (text: string, expected: 'p99' | 'off' | number | RegExp) => {
    const values = await given(`{ slow: ${text} }`)
    if (expected instanceof RegExp) t.match(values, expected, text)
    else t.equal(typeof values === 'string' ? values : values.slow, expected, text)
  }
  await f('p99', 'p99')
  await f('off', 'off')
  await f('false', 'off')
  await f('500ms', 500)
  await f('1m30s', 90_000)
  for (const wrong of ['p50', '500', '0s', 'true'])
    await f(wrong, /slow: must be p99, a duration such as 500ms, or off, not/)
})

t.test('printed options are read again as the same', async t => {
  for (const each of ['p99', 'off', 500, 90_000] as const) {
    const { slow } = samplingOptions.fields
    t.equal(slow.parse(slow.write?.(each) ?? each), each)
  }
})
