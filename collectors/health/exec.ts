// The exec probe: the exit code of a program. It runs without a shell and without input, its output is limited, and at the
// deadline it is killed with everything that it started.

import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { failed, failure } from '../../client/failure.ts'
import { Stopwatch } from '../../client/stopwatch.ts'
import type { Failure, Probe } from './verdict.ts'

export interface ExecTarget {
  readonly kind: 'exec'
  readonly program: string
  readonly args: readonly string[]
}

const OUTPUT_KEPT = 1024

// While a program does not end even after SIGKILL (it waits in the kernel), no second one is started.
const unfinished = new WeakMap<ExecTarget, ChildProcess>()

export const exec: Probe<ExecTarget> = async (target, signal, context) => {
  const watch = new Stopwatch(context.clock)
  watch.enter('processing')
  if (unfinished.has(target)) return watch.stop(failed('timeout', 'the program of the last probe has not ended yet'))
  let child: ChildProcess
  try {
    child = process.getBuiltinModule('node:child_process').spawn(target.program, [...target.args], {
      stdio: ['ignore', 'ignore', 'pipe'],
      // A process group of its own, so that its children can be killed with it.
      detached: true,
      env: ownEnvironment(),
    })
  } catch (error) {
    return watch.stop(notStarted(target, error))
  }
  let said = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    if (said.length < OUTPUT_KEPT) said = (said + text).slice(0, OUTPUT_KEPT)
  })
  child.stderr?.on('error', () => {})
  unfinished.set(target, child)
  child.once('exit', () => unfinished.delete(target))
  try {
    const [code, killer] = await once(child, 'exit', { signal })
    // The last part of its output may not have been read yet.
    if (code !== 0) await new Promise(setImmediate)
    if (code === 0) return watch.stop({ ok: true, status: 0 })
    const how = code === null ? `ended by ${killer}` : `exit code ${code}`
    return watch.stop({
      ...failed('exec', said ? `${how}: ${said}` : how),
      ...(code === null ? {} : { status: Number(code) }),
    })
  } catch (error) {
    child.on('error', () => {})
    if (child.pid === undefined) {
      unfinished.delete(target)
      return watch.stop(notStarted(target, error))
    }
    killGroup(child.pid)
    return watch.stop(failure(error, signal))
  } finally {
    // A grandchild may keep the other end open for ever.
    child.stderr?.destroy()
  }
}

function notStarted(target: ExecTarget, error: unknown): Failure {
  const { code, message } =
    error instanceof Error ? (error as NodeJS.ErrnoException) : { code: '', message: `${error}` }
  // A lack of descriptors, processes or memory is a failure of the sidecar, not of the program.
  const reason = /^(EMFILE|ENFILE|EAGAIN|ENOMEM)$/.test(code ?? '') ? 'local' : 'exec'
  return failed(reason, `cannot run ${target.program}: ${message}`)
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It has ended in the meantime.
  }
}

/** Without the sidecar's own settings, which may contain tokens. */
function ownEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(PILLION|OTEL)_/.test(name)))
}
