// Our parser beside Tempo's own, over generated queries and mutated ones: both accept or both refuse, and what they accept
// they print alike. The known differences are listed here, each with its reason.

import t, { type Test } from 'tap'
import { prepare } from '../../../traceql/prepare.ts'
import { Refusal } from '../../../traceql/refusal.ts'
import { queryText } from '../../../traceql/text.ts'
import { mutated, query, Random } from './generate.ts'
import { absent, judged, type Verdict } from './judges.ts'

// The same queries in each run, so that a test fails for a change and not by luck. SEED=n tries others.
const SEED = Number(process.env['SEED'] ?? 1)

type Ours = { readonly text: string } | { readonly text: undefined; readonly refused: string }

async function read(source: string): Promise<Ours> {
  try {
    return { text: queryText((await prepare(source)).query) }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    return { text: undefined, refused: error.reason }
  }
}

/** Why the two may differ here; undefined if they may not. */
function known(source: string, ours: Ours, theirs: Verdict): string | undefined {
  if (ours.text !== undefined && theirs.text !== undefined) {
    // Names that need quotes are printed with them, as Tempo 3 does, so that the text can be read again.
    const plain = ours.text.replace(
      /(^|[^\w`])((?:span|resource|event|link|instrumentation)?\.)"((?:\\.|[^"\\])*)"/g,
      '$1$2$3',
    )
    const finite = theirs.text.replace(/(Inf|NaN)\.0/g, '$1')
    if (plain.replace(/\\(["\\])/g, '$1') === finite.replace(/\\(["\\])/g, '$1')) return 'quoted names'
    if (/\.""/.test(source)) return 'an empty name'
    // Tempo 2.8 prints constants that are not finite so that nobody can read them.
    if (ours.text === finite) return 'constants that are not finite'
    // Tempo 2.8 reads `nil != .a` by a rule of its own, which binds more closely than its other comparisons.
    if (/nil\s*!?=/.test(source)) return 'nil on the left'
    return undefined
  }
  if (ours.text === undefined && theirs.text !== undefined) {
    // A regular expression must be a constant (Tempo 3), and is checked without the quotes.
    if (/regular expression/.test(ours.refused)) return 'regular expressions'
    // Tempo reads the language's attributes of the parent, and its engine answers none of them.
    if (/^parent .* is not supported/.test(ours.refused)) return 'attributes of the parent'
    // Tempo takes any single character that means nothing for the name of a hint.
    if (/^unexpected "[^\w\s]+"$/.test(ours.refused) && /with\(/.test(source)) return 'names of hints'
    return undefined
  }
  // JavaScript's spellings, such as `[]`, are read as everywhere in Pillion.
  if (theirs.text === undefined && theirs.refused.startsWith('invalid regex')) return 'regular expressions'
  // Tempo 3 has these, 2.8 does not.
  if (/=\s*nil|nil\s*!?=|childCount|(min|max)Int/.test(source)) return 'Tempo 3: nil, childCount, minInt'
  if (theirs.text === undefined && /scalar filter rhs|unexpected (\(|-|-?INTEGER|\))/.test(theirs.refused))
    return 'Tempo 3: arithmetic with constants'
  if (ours.text !== undefined && /\| [a-z_]+\(.*\)(by\(.*\))?( \| [bt]\S+)* (=|!=|[<>]=?) /.test(ours.text))
    return 'Tempo 3: comparisons of metrics'
  if (ours.text !== undefined && /( \| (top|bottom)k\(\d+\)){2}/.test(ours.text))
    return 'Tempo 3: several second stages'
  return undefined
}

async function compare(t: Test, sources: readonly string[], most: number): Promise<number> {
  const verdicts = judged(sources)
  const differences = new Map<string, number>()
  let accepted = 0
  for (const [i, source] of sources.entries()) {
    const theirs = verdicts[i]!
    const ours = await read(source)
    if (theirs.text !== undefined) accepted++
    if (ours.text === theirs.text) continue
    const why = known(source, ours, theirs)
    if (why) differences.set(why, (differences.get(why) ?? 0) + 1)
    else t.fail(`seed ${SEED}: the parsers differ`, { source, ours, theirs })
  }
  const total = [...differences.values()].reduce((sum, each) => sum + each, 0)
  t.ok(total <= most, `known differences in ${total} of ${sources.length} queries`, { differences: [...differences] })
  return accepted
}

t.test("generated queries are read and printed as Tempo's own parser does", { skip: absent.parser }, async t => {
  const random = new Random(SEED)
  const sources = Array.from({ length: 6000 }, () => query(random))
  const accepted = await compare(t, sources, 60)
  t.ok(accepted > 4000, `Tempo accepts ${accepted} of them`)
})

t.test("mutated queries are refused where Tempo's own parser refuses them", { skip: absent.parser }, async t => {
  const random = new Random(SEED)
  const sources = Array.from({ length: 14_000 }, () => mutated(random, query(random)))
  const accepted = await compare(t, sources, 140)
  t.ok(accepted > 300, `Tempo accepts ${accepted} of them`)
})
