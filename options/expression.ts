// Regular expressions that meet text from outside (an application's answer, a command line). Node's own engine backtracks:
// `.*ok` takes seconds on a line of 64 KiB, and the event loop with it. RE2's takes time linear in the length of the text.
// Its syntax is RE2's, as in Prometheus; JavaScript's spellings of the same things (\u00e9, [^]) are read too.

import type { RE2JS, RE2Set } from 're2js'

/** A compiled expression. Two of them are equal if their sources are. */
export interface Expression {
  readonly source: string
  /** Whether it matches somewhere in the text; `^` and `$` are the beginning and the end of all of it. */
  matches(text: string): Promise<boolean>
  /** The same at once, in at most 50 ms if the text has `SHORT` characters and the expression is small. */
  test(text: string): boolean
}

type Engine = typeof import('re2js')

/** Time is linear in the text, times the size of the expression, so that is bounded as well (in RE2's instructions). */
const SIZE_LIMIT = 1000

/** Instructions times characters that take at most 50 ms, where RE2 makes a state for every character (`[ab]*a[ab]{90}$`). */
const STEPS = 1_000_000

/**
 * The largest expression that is matched with a longer text on the event loop, and the memory for its states, in bytes: with
 * RE2's usual 8 MiB it would make states until the time is over, with so few it soon does without, in half a microsecond for a
 * character. A larger one is matched on a thread, which costs a tenth of a second to start.
 */
const USUAL = 30
const STATES_MEMORY = 128 * 1024

/** The longest text of the logs, in characters. */
const SHORT = 4096
/** The largest expression for such a text. */
const SMALL = Math.floor(STEPS / SHORT)

/** Loads RE2 and compiles. Rejects with an Error whose message completes "app.match …" and never quotes the source. */
export async function expression(source: string): Promise<Expression> {
  return await limited(source, SIZE_LIMIT)
}

/** The same, of a size that can be tested at once with any text of `SHORT` characters. */
export async function smallExpression(source: string): Promise<Expression> {
  return await limited(source, SMALL)
}

/** Replaces what an expression matches. */
export interface Replacing {
  /** Every match is replaced. If that takes longer than 20 ms, all that is left of the text is replaced as one. */
  replace(text: string, by: string): string
}

/** The largest expression whose matches are replaced: one of them is found in `SHORT` · 4 characters within 30 ms. */
const REPLACED = 100
const REPLACE_MS = 20

/** Loads RE2 and compiles, for texts of at most 16 Ki characters. Rejects as `expression` does. */
export async function replacing(source: string): Promise<Replacing> {
  const engine = await import('re2js')
  const compiled = compile(source, engine)
  if (compiled.programSize() > REPLACED)
    throw new Error('is too large a regular expression; shorten it, or repeat less in it ({m,n})')
  if (compiled.test(''))
    throw new Error('matches an empty text, and so everywhere; let it match at least one character')
  return {
    replace(text, by) {
      // Most lines have nothing to replace, and the test is the cheaper one.
      if (!compiled.test(text)) return text
      const matcher = compiled.matcher(text)
      const begun = performance.now()
      let [result, at] = ['', 0]
      // All matches together may take the square of the length: each looks for its end anew.
      while (matcher.find()) {
        result += text.slice(at, matcher.start()) + by
        at = matcher.end()
        if (performance.now() - begun > REPLACE_MS) return result + by
      }
      return result + text.slice(at)
    },
  }
}

async function limited(source: string, limit: number): Promise<Expression> {
  const engine = await import('re2js')
  const compiled = compile(source, engine)
  if (compiled.programSize() > limit)
    throw new Error('is too large a regular expression; shorten it, or repeat less in it ({m,n})')
  return new Compiled(source, compiled, engine)
}

class Compiled implements Expression {
  readonly source: string
  // Private, and so not compared: they grow while they are used.
  readonly #compiled: RE2JS
  readonly #engine: Engine
  #withFewStates: RE2Set | undefined

  constructor(source: string, compiled: RE2JS, engine: Engine) {
    this.source = source
    this.#compiled = compiled
    this.#engine = engine
  }

  async matches(text: string): Promise<boolean> {
    const size = this.#compiled.programSize()
    if (size <= USUAL || size * text.length <= STEPS) return this.test(text)
    const { matchOnThread } = await import('./matching.ts')
    return await matchOnThread(this.#compiled.pattern(), text)
  }

  test(text: string): boolean {
    if (this.#compiled.programSize() * text.length <= STEPS) return this.#compiled.test(text)
    this.#withFewStates ??= this.#few()
    return this.#withFewStates.match(text).length > 0
  }

  #few(): RE2Set {
    const { RE2Set } = this.#engine
    const set = new RE2Set(RE2Set.UNANCHORED, 0, STATES_MEMORY)
    set.add(this.#compiled.pattern())
    return set
  }
}

function compile(source: string, { RE2JS: engine }: Engine): RE2JS {
  try {
    return engine.compile(source)
  } catch (cause) {
    const missing = beyondRe2(cause)
    if (missing) throw new Error(`uses ${missing}, which RE2 cannot match in linear time; write it without`, { cause })
    try {
      return engine.compile(engine.translateRegExp(source))
    } catch {
      throw new Error(`is not a regular expression in RE2's syntax: ${description(cause)}`, { cause })
    }
  }
}

/** The construct behind a syntax error of RE2, if it needs a backtracking engine. */
function beyondRe2(error: unknown): string | undefined {
  const rest = error instanceof Error && 'input' in error ? String(error.input) : ''
  if (/^\(\?[=!]/.test(rest)) return 'a look-ahead'
  if (/^\(\?<[=!]/.test(rest)) return 'a look-behind'
  return /^\\(?:[1-9]|k)/.test(rest) ? 'a back-reference' : undefined
}

/** Without the part of the source that RE2 quotes: it may come from a variable that is not to be shown. */
function description(error: unknown): string {
  if (error instanceof Error && 'error' in error) return String(error.error)
  return 'it cannot be compiled'
}
