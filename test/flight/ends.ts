// Ends of a real application beside the real sidecar, and the flight record that is left of each. The truth is made by
// the one who ends it: a signal, a memory limit, a fault, an exit code.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { Files } from '../../exporter/flight/files.ts'
import { extracted, type FlightRecord } from '../../exporter/flight/record.ts'
import { until } from '../e2e/child.ts'
import { type Ride, startSidecar } from '../e2e/ride.ts'
import { compiledHelper, witnesses } from '../process/witnessed.ts'

export const ENDS = ['kill', 'oom', 'segv', 'exit', 'both'] as const
export type End = (typeof ENDS)[number]
export type How = 'run' | 'attach'

/** A hierarchy of the first version whose limits can be set here. */
const MEMORY_GROUP = '/sys/fs/cgroup/memory'
const LIMIT_BYTES = 96 * 2 ** 20

/** Tells the status of an application that something else started; where it cannot, that is often unknown. */
export const helper = compiledHelper()

/** False, or why this end cannot be made here. */
export function impossible(end: End): string | false {
  if (end === 'oom' && !(existsSync(join(MEMORY_GROUP, 'memory.limit_in_bytes')) && process.getuid?.() === 0))
    return 'no memory limit can be set: run as root where cgroup v1 is mounted'
  if (end === 'segv' && !existsSync('/usr/bin/python3')) return 'no python3; apt-get install python3'
  return false
}

export interface Outcome {
  readonly end: End
  readonly how: How
  readonly code: number
  /** Undefined if none was written. */
  readonly record: FlightRecord | undefined
  /** The text of the file. */
  readonly text: string
  readonly verdict: 'right' | 'unknown' | 'wrong' | 'none'
  /** Seconds from the last sample to the end; infinite without samples. */
  readonly age: number
  readonly pid: number
  readonly log: string
}

/** It works a little, and ends when it is told to: by SIGUSR2, in the way that its argument says. */
const NODE_APP = `
  const how = process.argv[1], kept = []
  console.log('up ' + process.pid)
  setInterval(() => { for (const end = Date.now() + 3; Date.now() < end; ); }, 50)
  process.on('SIGUSR2', () => {
    if (how === 'oom') setInterval(() => kept.push(Buffer.alloc(4 * 2 ** 20, 1)), 10)
    else process.exit(Number(how))
  })`
const PYTHON_APP = `
import ctypes, os, signal, sys, time
def fall(*_): ctypes.string_at(0)
signal.signal(signal.SIGUSR2, fall)
print('up', os.getpid(), flush=True)
while True: time.sleep(0.05)`

/** Something could not be started, before anything was ended. */
export class NotReady extends Error {}

/** Makes one end and reads the record that is left of it. */
export async function make(end: End, how: How, code = 3): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'pillion-flights-'))
  const dir = join(folder, 'records')
  await using open = new AsyncDisposableStack()
  open.defer(() => rmSync(folder, { recursive: true, force: true }))
  const group = end === 'oom' ? limited() : undefined
  if (group) open.defer(() => removeGroup(group))
  const command = commandOf(end, code, group)
  const flags = ['--flight.dir', dir, '--health.enabled', 'false']
  const { pid, ride } = await ready(open, command, flags, how).catch(cause => {
    throw new NotReady(String(cause), { cause })
  })
  await until('a ring', async () => (await names(dir)).some(name => name.startsWith('ring-')) || undefined)
  await sleep(1200)

  if (end === 'both') {
    process.kill(-ride.child.pid, 'SIGKILL')
    if (how === 'attach') process.kill(pid, 'SIGKILL')
  } else process.kill(pid, end === 'kill' ? 'SIGKILL' : 'SIGUSR2')
  const endedAt = await gone(pid)
  let log = ride.child.stderr
  if (end === 'both') {
    await ride.child.ended
    // The next start is where the record comes from; it finds no application.
    await using next = await startSidecar({ flags: [...flags, '--app.pid_file', join(folder, 'none')] })
    await recordIn(dir)
    log += next.child.stderr
  }
  const text = await recordIn(dir)
  const record = text === '' ? undefined : extracted(text)
  return {
    end,
    how,
    code,
    record,
    text,
    verdict: record ? judge(end, code, record) : 'none',
    age: (endedAt - (record?.samples.times.at(-1) ?? Number.NEGATIVE_INFINITY)) / 1000,
    pid,
    log: log + ride.child.stderr,
  }
}

/** The application and the sidecar beside it, once it is sampled. */
async function ready(
  open: AsyncDisposableStack,
  command: readonly [string, ...string[]],
  flags: readonly string[],
  how: How,
): Promise<{ readonly pid: number; readonly ride: Ride }> {
  let pid: number
  let ride: Ride
  if (how === 'run') {
    ride = open.use(await startSidecar({ flags, command, wrapper: ['setsid'] }))
    const [, number] = await ride.child.says(/up (\d+)/)
    pid = Number(number)
  } else {
    const [program, ...args] = command
    const app = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    open.defer(() => void app.kill('SIGKILL'))
    const [line] = (await once(createInterface({ input: app.stdout }), 'line')) as [string]
    pid = Number(/up (\d+)/.exec(line)?.[1])
    const told = helper.skip === false ? ['--process.exit_helper', helper.path] : []
    ride = open.use(await startSidecar({ flags: [...flags, '--app.pid', String(pid), ...told], wrapper: ['setsid'] }))
    if (helper.skip === false) await until('a witness', () => witnesses(helper.path, pid).length > 0 || undefined)
  }
  await until('samples of the application', async () => {
    if (!existsSync(`/proc/${pid}`)) throw new Error('it has ended already')
    return ((await ride.value('pillion_moments_total')) ?? 0) >= 20 || undefined
  })
  return { pid, ride }
}

/** Whether the reason in a record is true. */
function judge(end: End, code: number, { cause: { reason } }: FlightRecord): Outcome['verdict'] {
  const truth = { kill: 'killed', oom: 'oom', segv: 'crash', exit: code === 0 ? 'clean' : 'error', both: 'unknown' }[
    end
  ]
  return reason === truth ? 'right' : reason === 'unknown' ? 'unknown' : 'wrong'
}

function commandOf(end: End, code: number, group: string | undefined): readonly [string, ...string[]] {
  if (end === 'segv') return ['/usr/bin/python3', '-c', PYTHON_APP]
  const node = [process.execPath, '-e', NODE_APP, end === 'oom' ? 'oom' : String(code)] as const
  return group ? ['sh', '-c', `echo $$ > ${group}/cgroup.procs && exec "$@"`, 'sh', ...node] : [...node]
}

let groups = 0
/** A cgroup with a limit of 96 MiB. */
export function limited(): string {
  const group = join(MEMORY_GROUP, `pillion-flights-${process.pid}-${++groups}`)
  mkdirSync(group)
  writeFileSync(join(group, 'memory.limit_in_bytes'), String(LIMIT_BYTES))
  return group
}

/** To be called when what was in it has ended. */
export async function removeGroup(group: string): Promise<void> {
  for (let tries = 0; existsSync(group) && tries < 200; tries++, await sleep(20))
    try {
      rmdirSync(group)
    } catch {}
}

/** Resolves with the time at which a process had ended, to a few milliseconds. */
async function gone(pid: number): Promise<number> {
  for (const deadline = performance.now() + 60_000; ; await sleep(5)) {
    const now = Date.now()
    try {
      if (/\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))) return now
    } catch {
      return now
    }
    if (performance.now() > deadline) throw new Error(`process ${pid} does not end`)
  }
}

async function names(dir: string): Promise<readonly string[]> {
  return await new Files(dir, { keep: 1, max_bytes: 1 }, () => {}).names().catch(() => [])
}

/** The text of the first record of an end that comes within some seconds; '' if none does. */
async function recordIn(dir: string): Promise<string> {
  const files = new Files(dir, { keep: 1000, max_bytes: 1e9 }, () => {})
  for (const deadline = performance.now() + 15_000; performance.now() < deadline; await sleep(50)) {
    // Just before it runs out of memory there may be a record of that.
    const all = await files.list().catch(() => [])
    const kept = all.find(({ trigger }) => trigger === 'gone' || trigger === 'both')
    if (kept) return (await files.read(kept.name))?.toString('utf8') ?? ''
  }
  return ''
}
