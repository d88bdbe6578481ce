// Matches a large expression with a long text on a thread of its own. RE2 takes linear time, but of 20 to 45 ns for each
// instruction and character at worst: a second for the largest expression and 64 KiB. This module is both sides: the caller's, and
// the thread's.

import { answers, Thread } from '../own/thread.ts'

interface Question {
  readonly source: string
  readonly text: string
}

const thread = new Thread<Question, boolean>(
  { url: import.meta.url, inside: 'options/matching.js' },
  'match an expression',
)
let last: Promise<unknown> = Promise.resolve()
let waiting = 0

/** `source` must compile as it is. One at a time; when nobody waits, the memory of the thread is given back. */
export async function matchOnThread(source: string, text: string): Promise<boolean> {
  waiting += 1
  const turn = last.then(async () => await thread.ask({ source, text }))
  last = turn.catch(() => {})
  try {
    return await turn
  } finally {
    waiting -= 1
    if (waiting === 0) await thread.rest()
  }
}

answers(async ({ source, text }: Question) => {
  const { RE2JS } = await import('re2js')
  return RE2JS.compile(source).test(text)
})
