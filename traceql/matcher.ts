// Regular expressions of a query. They match whole values, as in Tempo, and a dot matches line breaks too. Lists of literals
// and `literal.*` need no engine; other answers are remembered by value, since most attributes have few of them.

import { type Expression, smallExpression } from '../options/expression.ts'

export type Matcher = (text: string) => boolean

/** Values whose answer is remembered, and how long they may be. */
const REMEMBERED = 1000
const REMEMBERED_LENGTH = 256

/** Rejects with an Error that completes "the regular expression …". */
export async function matcher(source: string): Promise<Matcher> {
  return literals(source) ?? remembering(await engine(source))
}

async function engine(source: string): Promise<Expression> {
  // Alone first: `a)|(b` is wrong, and would not be in parentheses.
  await smallExpression(source)
  return await smallExpression(`^(?s:${source})$`)
}

/** Characters without a meaning in an expression. */
const PLAIN = /^[^\\^$.|?*+()[\]{}]*$/

/** For `a|b|c`, `a.*`, `.*a` and `.*a.*`. */
function literals(source: string): Matcher | undefined {
  const options = source.split('|')
  if (options.every(option => PLAIN.test(option))) {
    const set = new Set(options)
    return text => set.has(text)
  }
  const [, before, literal = '', after] = /^(\.\*)?(.*?)(\.\*)?$/s.exec(source) ?? []
  if (!PLAIN.test(literal)) return undefined
  if (before && after) return text => text.includes(literal)
  if (before) return text => text.endsWith(literal)
  return text => text.startsWith(literal)
}

function remembering(expression: Expression): Matcher {
  const answers = new Map<string, boolean>()
  return text => {
    if (text.length > REMEMBERED_LENGTH) return expression.test(text)
    let answer = answers.get(text)
    if (answer === undefined) {
      answer = expression.test(text)
      if (answers.size < REMEMBERED) answers.set(text, answer)
    }
    return answer
  }
}
