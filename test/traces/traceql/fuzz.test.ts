// Twenty thousand queries, half of them mutated, and with what Tempo 3 added: each is accepted or refused with a place in its
// own text, and what is accepted can be read again from its printed form.

import t from 'tap'
import { LIMITS } from '../../../traceql/limits.ts'
import { prepare } from '../../../traceql/prepare.ts'
import { Refusal } from '../../../traceql/refusal.ts'
import { queryText } from '../../../traceql/text.ts'
import { words } from '../../../traceql/words.ts'
import { mutated, query, Random } from './generate.ts'

// The same in each run; SEED=n tries others.
const SEED = Number(process.env['SEED'] ?? 1)

/**
 * The printed form is Tempo's. Some of it cannot be read again: strings with a backtick or a carriage return in them, names
 * that needed quotes, constants that are not finite, and a negative constant before a product, which is read as the negative
 * product.
 */
function readable(text: string, source: string): boolean {
  return text.split('`').length % 2 === 1 && !/Inf|NaN|\r|(^|[ (])-[\d]/.test(text) && !/[\w.:]"/.test(source)
}

t.test('any query is accepted, or refused with a place in its text', async t => {
  const random = new Random(SEED)
  let accepted = 0
  for (let i = 0; i < 20_000; i++) {
    const whole = query(random, true)
    const source = i % 2 ? mutated(random, whole) : whole
    try {
      const text = queryText((await prepare(source)).query)
      accepted++
      if (!readable(text, source)) continue
      const again = queryText((await prepare(text)).query)
      if (again !== text) t.equal(again, text, `seed ${SEED}: ${JSON.stringify(source)}`)
    } catch (error) {
      if (!(error instanceof Refusal)) throw new Error(`seed ${SEED}: ${JSON.stringify(source)}`, { cause: error })
      const line = source.split('\n')[error.line - 1]
      if (line === undefined || error.column < 1 || error.column > [...line].length + 1 || !error.reason)
        t.fail(`seed ${SEED}: the refusal of ${JSON.stringify(source)} has no place in it`, { error: error.message })
    }
  }
  t.ok(accepted > 8000, `${accepted} were accepted`)
})

t.test('reading takes a number of steps that grows with the length only', async t => {
  // Each word is looked at once by the lexer, and the parser never goes back: so their number is the number of steps.
  for (const piece of ['(', '{', '!', '-', '.a', '"', '`', '/*', '//', '1h', '||', '.a||', '\\', '{}|', 'with(a=1)']) {
    const source = `{ ${piece.repeat(Math.floor(LIMITS.length / piece.length) - 4)}`
    let count = 0
    try {
      count = words(source).length
    } catch {}
    t.ok(count <= source.length)
    const refusal = await prepare(source).then(
      () => undefined,
      error => error as unknown,
    )
    t.ok(refusal instanceof Refusal, piece)
  }
})
