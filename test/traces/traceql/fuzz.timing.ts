// No query that is allowed takes longer to read than the event loop may be held, whatever is in it.

import t from 'tap'
import { LIMITS } from '../../../traceql/limits.ts'
import { prepare } from '../../../traceql/prepare.ts'
import { mutated, query, Random } from './generate.ts'

const MOST_MS = 50

function cpu(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}

/** The longest time that the event loop was held, without the time that other programs had the processor. */
async function milliseconds(source: string): Promise<number> {
  let longest = 0
  let last = cpu()
  let done = false
  // Between two turns of the loop.
  const look = (): void => {
    const now = cpu()
    longest = Math.max(longest, now - last)
    last = now
    if (!done) setImmediate(look)
  }
  const prepared = prepare(source).catch(() => {})
  look()
  await prepared
  done = true
  look()
  return longest
}

t.test('no query holds the event loop for more than 50 ms', async t => {
  const random = new Random(Number(process.env['SEED'] ?? 1))
  // RE2 is loaded by the first query that needs it.
  await prepare('{ .a =~ "x.y" }')
  let worst = { ms: 0, source: '' }
  const hold = async (source: string): Promise<void> => {
    // A second try where another program had the processor.
    let ms = await milliseconds(source)
    if (ms > MOST_MS) ms = await milliseconds(source)
    if (ms > worst.ms) worst = { ms, source: source.slice(0, 200) }
  }
  for (let i = 0; i < 20_000; i++) await hold(i % 2 ? mutated(random, query(random, true)) : query(random, true))
  for (const piece of ['(', '{}&&', '.a||', '!', '1h', '"', '//\n', '.a=~"a{9}"||', '{} | ', '.a"b"', '\\'])
    await hold(`{ ${piece.repeat(Math.floor(LIMITS.length / piece.length) - 4)}`)
  // The largest regular expressions that are allowed.
  const regex = Array.from({ length: LIMITS.regexes }, (_, i) => `.a =~ "(${i}x?){30}(a|b|cd*){40}"`).join(' || ')
  await hold(`{ ${regex} }`)
  t.ok(worst.ms <= MOST_MS, `${worst.ms.toFixed(1)} ms for ${worst.source}`)
})
