// Reads a page in slices, so that a large one does not hold the event loop, and gives it in the formats that are asked for.

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { ForeignFamily, ForeignPages } from '../../metrics/foreign.ts'
import type { Format } from '../../metrics/format.ts'
import { type Body, type Failed, failed, type Holding } from './ask.ts'
import { type Assembled, assembling } from './assemble.ts'
import { Messages } from './messages.ts'
import type { DropReason } from './metrics.ts'
import { SAMPLE_BYTES } from './samples.ts'
import { type Limits, Scanner } from './scanner.ts'

/** The time that a slice may take. */
const SLICE_MS = 4
/** Bytes of memory for a family and its names, about. */
const FAMILY_BYTES = 600

export interface ReadPage {
  readonly ok: true
  readonly families: readonly ForeignFamily[]
  readonly dropped: Readonly<Partial<Record<DropReason, number>>>
  /** Families that are shown without their type. */
  readonly untyped: number
  /** The page, to be written in this format. */
  in(format: Format): Promise<ForeignPages>
}

export async function read(body: Body, limits: Limits, held: Holding, signal: AbortSignal): Promise<ReadPage | Failed> {
  return body.kind === 'protobuf' ? readMessages(body, limits, held, signal) : readLines(body, limits, held, signal)
}

async function readLines(
  { bytes, kind, declared }: Body,
  limits: Limits,
  held: Holding,
  signal: AbortSignal,
): Promise<ReadPage | Failed> {
  const scanner = new Scanner(bytes, kind === 'openmetrics', limits)
  const stopped = await sliced(
    tired => scanner.run(tired),
    signal,
    () => held.keep(bytes.length + scanner.samples.count * SAMPLE_BYTES + scanner.families.all.length * FAMILY_BYTES),
  )
  if (stopped) return stopped
  const { samples, dropped } = scanner
  if (scanner.tooMany) return failed('too_many_samples', `the page has more than ${limits.samples} samples`)
  if (dropped.syntax > samples.count || (!declared && samples.count === 0))
    return failed('not_metrics', 'most lines of the answer are not metrics')
  if (kind === 'openmetrics' && !scanner.ended) return failed('truncated', 'the page does not end with # EOF')
  const { page, demoted } = await assembled(scanner)
  const pages = { text: page, openmetrics: page, protobuf: page }
  return {
    ok: true,
    families: page.families,
    dropped: { ...dropped, exemplar: scanner.badExemplars },
    untyped: demoted,
    in: async () => pages,
  }
}

async function readMessages(
  { bytes }: Body,
  limits: Limits,
  held: Holding,
  signal: AbortSignal,
): Promise<ReadPage | Failed> {
  const messages = new Messages(bytes, limits)
  const stopped = await sliced(
    tired => messages.run(tired),
    signal,
    () => held.keep(bytes.length + messages.samples * SAMPLE_BYTES + messages.families.length * FAMILY_BYTES),
  )
  if (stopped) return stopped
  if (messages.tooMany) return failed('too_many_samples', `the page has more than ${limits.samples} samples`)
  if (messages.broken) return failed('truncated', 'the page is not a series of whole messages')
  let pages: ForeignPages = { protobuf: messages }
  let lines: Promise<ForeignPages> | undefined
  return {
    ok: true,
    families: messages.families,
    dropped: messages.dropped,
    untyped: 0,
    async in(format) {
      if (format === 'protobuf') return pages
      lines ??= asLines(messages, limits)
      pages = { protobuf: messages, ...(await lines) }
      return pages
    },
  }
}

/** The same page as text, by way of OpenMetrics. */
async function asLines(messages: Messages, limits: Limits): Promise<ForeignPages> {
  const never = new AbortController().signal
  const texts: Buffer[] = []
  const writing = messages.openmetrics()
  await sliced(
    tired => {
      do {
        const { value, done } = writing.next()
        if (done) return true
        texts.push(Buffer.from(value))
      } while (!tired())
      return false
    },
    never,
    () => true,
  )
  const scanner = new Scanner(Buffer.concat(texts), true, { ...limits, samples: limits.samples * 2 })
  await sliced(
    tired => scanner.run(tired),
    never,
    () => true,
  )
  const { page } = await assembled(scanner)
  return { text: page, openmetrics: page }
}

async function assembled(scanner: Scanner): Promise<Assembled> {
  const work = assembling(scanner)
  for (let end = performance.now() + SLICE_MS; ; ) {
    const { value, done } = work.next()
    if (done) return value
    if (performance.now() < end) continue
    await nextTurn()
    end = performance.now() + SLICE_MS
  }
}

async function sliced(
  run: (tired: () => boolean) => boolean,
  signal: AbortSignal,
  room: () => boolean,
): Promise<Failed | undefined> {
  for (;;) {
    const end = performance.now() + SLICE_MS
    const done = run(() => performance.now() > end)
    if (!room()) return failed('memory', 'the memory budget has no room for the page')
    if (done) return undefined
    await nextTurn()
    if (signal.aborted) return failed('timeout', 'the page could not be read within the timeout')
  }
}
