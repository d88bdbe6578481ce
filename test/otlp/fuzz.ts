// Coverage-guided comparison with protobufjs: inputs that reach a new place in the decoder are kept and mutated further.
//
//   node test/otlp/fuzz.ts [seconds, default 60] [seed]
//
// V8's own precise coverage (node:inspector) says what was reached, so nothing needs to be installed. A disagreement is
// printed as hex, to become a test, and ends the run with exit code 1.

import { Session } from 'node:inspector'
import { disagreement } from './compare.ts'
import { generate, mutate, Random, type Signal } from './generate.ts'

const seconds = Number(process.argv[2] ?? 60)
const seed = Number(process.argv[3] ?? Date.now() % 2 ** 32)
const random = new Random(seed)

interface Coverage {
  readonly result: readonly {
    readonly url: string
    readonly functions: readonly {
      readonly ranges: readonly { readonly startOffset: number; readonly endOffset: number; readonly count: number }[]
    }[]
  }[]
}

const session = new Session()
session.connect()

/** Commands of an inspector in the same process are answered before `post` returns. */
function ask<Answer>(method: string, params: object = {}): Answer | undefined {
  let answer: Answer | undefined
  session.post(method, params, (error, result) => {
    if (error) throw error
    answer = result as Answer
  })
  return answer
}

const reached = new Set<string>()

/** Places in the decoder that were reached since the last call. */
function places(): string[] {
  const found: string[] = []
  for (const { url, functions } of ask<Coverage>('Profiler.takePreciseCoverage')?.result ?? []) {
    if (!url.includes('/collectors/otlp/')) continue
    for (const { ranges } of functions)
      for (const { startOffset, endOffset, count } of ranges)
        if (count > 0) found.push(`${url} ${startOffset} ${endOffset}`)
  }
  return found
}

ask('Profiler.enable')
ask('Profiler.startPreciseCoverage', { callCount: true, detailed: true })

interface Input {
  readonly signal: Signal
  readonly bytes: Buffer
}

/** The most inputs in the corpus; beyond it, a random older input gives way. */
const LARGEST_CORPUS = 5000
/** Reading the coverage takes longer than many runs, so it is read once for a batch. */
const BATCH = 200
const corpus: Input[] = []
let runs = 0

const end = performance.now() + seconds * 1000
while (performance.now() < end) {
  const batch = Array.from({ length: BATCH }, next)
  for (const input of batch) compare(input)
  const fresh = new Set(places().filter(place => !reached.has(place)))
  // Once more one by one, to keep the inputs that were the reason.
  for (const input of batch) {
    if (fresh.size === 0) break
    compare(input)
    const found = places().filter(place => fresh.delete(place))
    for (const place of found) reached.add(place)
    if (found.length > 0) keep(input)
  }
}
console.log(`${runs} requests agreed (seed ${seed}); ${corpus.length} kept, ${reached.size} places reached`)

function next(): Input {
  const kept = corpus.length < 50 || random.once(10) ? undefined : random.pick(corpus)
  const signal = kept?.signal ?? random.pick(['traces', 'traces', 'metrics', 'logs'] as const)
  const parent = kept?.bytes ?? generate(random, signal)
  return { signal, bytes: random.once(10) ? parent : mutate(random, parent).subarray(0, 8192) }
}

function keep(input: Input): void {
  if (corpus.length < LARGEST_CORPUS) corpus.push(input)
  else corpus[random.below(LARGEST_CORPUS)] = input
}

function compare({ signal, bytes }: Input): void {
  runs++
  const difference = disagreement(signal, bytes)
  if (difference === undefined) return
  console.log(`disagreement after ${runs} runs (seed ${seed}): ${difference}\n${signal} ${bytes.toString('hex')}`)
  process.exit(1)
}
