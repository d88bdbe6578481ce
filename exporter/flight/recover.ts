// Rings that were left behind: their sidecar ended without a word. Each becomes a record, once it is sure that nobody
// writes it any more. Sidecars that share the folder may find it at the same moment: whoever renames it writes the record.

import { randomBytes } from 'node:crypto'
import { lstat, rename, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../../telemetry/host.ts'
import { type Files, readFile } from './files.ts'
import { type Decoded, decode, RING_BYTES } from './layout.ts'
import { here, lives } from './owner.ts'
import { type Cause, type FlightRecord, FORMAT, NO_SAMPLES, type Samples } from './record.ts'
import { RING_NAME, type RingHead, type RingState, TAKEN_NAME } from './ring.ts'
import { columns, WINDOW_MS } from './samples.ts'

/** An owner that cannot be seen from here is gone if its file stays as it is for so long. */
const QUIET_MS = 15_000
/** So many that were left behind are looked at by one start; a folder with more was filled by something else. */
const MOST = 16
/** Nearer to its limit than this just before, lack of memory is likely. */
const FULL = 0.98

export interface Found {
  readonly record: FlightRecord
  /** The id of the ring. */
  readonly ring: string
}

export interface RecoverHost {
  readonly proc: string
  readonly clock: Clock
  readonly version: string
  /** Our own ring. */
  own(): string | undefined
  /** Writes a record that was found. A rejection leaves the ring for the next start. */
  write(found: Found): Promise<void>
  /** A ring whose application goes on, or that had none. */
  nothing(why: string): void
  /** A ring that cannot be read. */
  unreadable(name: string, error: unknown): void
}

/** Looks at all rings of the folder. Rejects when the signal aborts, or the folder cannot be read. */
export async function recover(files: Files, host: RecoverHost, signal: AbortSignal): Promise<void> {
  const found = (await files.names()).filter(name => name !== host.own())
  // Taken ones come last: their takers are mostly about to be done with them.
  const names = [RING_NAME, TAKEN_NAME].flatMap(kind => found.filter(name => kind.test(name)))
  const errors: unknown[] = []
  for (let i = 0, left = 0; i < names.length && left < MOST; i++) {
    try {
      if (await one(files, names[i]!, host, signal)) left++
    } catch (error) {
      signal.throwIfAborted()
      // The others may be read and written nevertheless.
      errors.push(error)
      left++
    }
  }
  if (errors.length > 0) throw errors[0]
}

/** Whether it was left behind. */
async function one(files: Files, name: string, host: RecoverHost, signal: AbortSignal): Promise<boolean> {
  const path = join(files.dir, name)
  const read = await readFile(path, RING_BYTES).catch(() => undefined)
  // A link, a pipe or a folder of this name is left alone.
  if (!read) return false
  const quiet = async (): Promise<boolean> => {
    const before = await lstat(path).catch(() => undefined)
    if (!before) return false
    await host.clock.sleep(QUIET_MS, signal)
    return (await lstat(path).catch(() => undefined))?.mtimeMs === before.mtimeMs
  }
  const id = (RING_NAME.exec(name) ?? TAKEN_NAME.exec(name))![1]!
  const take = () => takeOver(path, join(files.dir, `ring-${id}.${randomBytes(4).toString('hex')}.taken`))
  let ring: ReadRing
  try {
    ring = readRing(read)
  } catch (error) {
    // It may be that of a newer version, which runs.
    if (!(await quiet())) return false
    const taken = await take()
    if (taken === undefined) return false
    host.unreadable(name, error)
    await unlink(taken).catch(() => {})
    return true
  }
  const { owner } = ring.head
  const alive = owner && lives(host.proc, owner, owner)
  // One who has taken it and ended leaves it as it is, too.
  const sure = alive === false && RING_NAME.test(name)
  if (alive || (!sure && !(await quiet()))) return false
  const taken = await take()
  if (taken === undefined) return false
  try {
    // As it was at the end: it may have been written meanwhile.
    const last = await readFile(taken, RING_BYTES)
    if (last) await tell(readRing(last), id, files, host)
  } catch (error) {
    await rename(taken, path).catch(() => {})
    throw error
  }
  await unlink(taken).catch(() => {})
  return true
}

/** The name under which the file is ours now; undefined if another has been faster. */
async function takeOver(path: string, taken: string): Promise<string | undefined> {
  try {
    await rename(path, taken)
    return taken
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

async function tell(ring: ReadRing, id: string, files: Files, host: RecoverHost): Promise<void> {
  const { owner } = ring.head
  const { application } = ring.state
  if (!application) host.nothing('no application was observed when the last sidecar ended suddenly')
  else if (!ring.state.ended && owner && lives(host.proc, owner, application))
    host.nothing('the last sidecar ended suddenly, and the application went on')
  else if (!(await files.tellsOf(id))) await host.write({ record: recordOf(ring, host), ring: id })
}

export interface ReadRing extends Omit<Decoded, 'head' | 'state'> {
  readonly head: RingHead
  readonly state: RingState
}

/** Throws an Error that says why it cannot be read. */
export function readRing(bytes: Buffer): ReadRing {
  const decoded = decode(bytes)
  const head = fields(decoded.head)
  const state = fields(decoded.state)
  const { id, version, made, owner, columns } = head
  if (typeof id !== 'string' || !Array.isArray(columns) || !columns.every(each => typeof each === 'string'))
    throw new Error('its head is damaged')
  const { pid, ticks, boot, namespace } = fields(owner)
  const known =
    isNumber(pid) && isNumber(ticks) && typeof boot === 'string' && typeof namespace === 'string'
      ? { pid, ticks, boot, namespace }
      : undefined
  const application = fields(state['application'])
  const ended = fields(state['ended'])
  const port = application['port']
  return {
    ...decoded,
    head: {
      id,
      version: typeof version === 'string' ? version : '',
      made: isNumber(made) ? made : 0,
      owner: known,
      columns,
    },
    state: {
      at: isNumber(state['at']) ? state['at'] : 0,
      name: typeof state['name'] === 'string' ? state['name'] : undefined,
      url: typeof state['url'] === 'string' ? state['url'] : undefined,
      ...(isNumber(application['pid']) &&
        isNumber(application['ticks']) && {
          application: {
            pid: application['pid'],
            ticks: application['ticks'],
            child: application['child'] === true,
            since: isNumber(application['since']) ? application['since'] : 0,
            port: isNumber(port) ? port : undefined,
          },
        }),
      ...(typeof ended['reason'] === 'string' && {
        ended: {
          reason: ended['reason'],
          evidence: String(ended['evidence']),
          text: String(ended['text']),
          at: isNumber(ended['at']) ? ended['at'] : 0,
        },
      }),
    },
  }
}

/**
 * The record that a ring makes. Its clock may have been set: times are counted back from the last row by the steady
 * clock.
 */
export function recordOf(
  ring: ReadRing,
  { proc, clock, version }: Pick<RecoverHost, 'proc' | 'clock' | 'version'>,
): FlightRecord {
  const { state, head, texts, torn } = ring
  const samples = samplesOf(ring)
  const end = samples.times.at(-1)
  const { ended, application } = state
  const logs = texts.filter(({ kind }) => kind.startsWith('log '))
  const episodes = texts.filter(({ kind }) => kind === 'episode')
  const marks = texts.filter(({ kind }) => kind !== 'episode' && !kind.startsWith('log '))
  return {
    format: FORMAT,
    trigger: ended ? 'gone' : 'both',
    at: ended?.at ?? Math.max(end ?? 0, state.at),
    written: clock.now(),
    application: {
      name: state.name,
      url: state.url,
      pid: application?.pid,
      port: application?.port,
      since: application?.since,
    },
    cause: ended ?? causeOf(ring, proc, samples),
    samples,
    marks: marks.slice(-256).map(({ at, kind, text }) => ({ at, kind: kind as 'health', text })),
    episodes: episodes
      .slice(-50)
      .toReversed()
      .map(({ at, text }) => ({ from: at, to: null, cause: '', sentence: text })),
    traces: [],
    logs: logs
      .slice(-200)
      .toReversed()
      .map(({ at, kind, text, service = '', trace = '' }) => ({
        at: at > 0 ? at : undefined,
        severity: kind.slice(4),
        service,
        body: text,
        traceId: trace,
      })),
    parts: [],
    missing: [
      'Traces and the numbers of the parts: they were in the memory of the sidecar that ended. This was made from its ring on disk.',
      ...(torn > 0 ? [`${torn} pieces of the ring that were not whole.`] : []),
      ...(samples.times.length === 0 ? ['Samples: none had been written.'] : []),
    ],
    sidecar: { version: version === head.version ? version : `${version}, from a ring of ${head.version}` },
  }
}

function causeOf({ head: { owner }, state: { application } }: ReadRing, proc: string, samples: Samples): Cause {
  const place = here(proc)
  const restarted = owner && place && place.boot !== owner.boot
  const seen = owner && application && lives(proc, owner, application)
  const last = (name: string): number => samples.columns[name]?.at(-1) ?? Number.NaN
  const share = last('memory') / last('memoryLimit')
  const together = seen
    ? 'its process still runs'
    : restarted
      ? 'the machine was started again meanwhile'
      : seen === false || application?.child
        ? 'it and its sidecar ended suddenly, so that nobody saw why'
        : 'the sidecar ended suddenly; the application cannot be seen from here, so it may have gone on'
  if (share > FULL && !restarted)
    return {
      reason: 'oom',
      evidence: 'inferred',
      text: `${together}; it used ${Math.floor(share * 100)} % of its memory limit a moment before`,
    }
  return { reason: 'unknown', evidence: 'none', text: together }
}

function samplesOf({ rows, head }: ReadRing): Samples {
  const last = rows.at(-1)
  if (!last) return NO_SAMPLES
  const [wall, monotonic] = last as [number, number]
  const time = (row: readonly number[]): number => wall - (monotonic - row[1]!)
  const shown = rows.filter(row => row[1]! <= monotonic && time(row) >= wall - WINDOW_MS)
  const sorted = shown.toSorted((a, b) => a[1]! - b[1]!)
  return columns(
    sorted.map(time),
    head.columns.slice(0, 60).map((name, i) => [name, sorted.map(row => row[i + 2] ?? Number.NaN)]),
  )
}

function fields(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {}
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}
