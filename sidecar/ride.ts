// The life of one sidecar: attached to an application that runs already, along with one that it starts (`run`), or beside
// one whose place the launcher takes (`exec`).

import { clock } from '../host/clock.ts'
import { stderr } from '../host/log.ts'
import type { Options } from '../parts.ts'
import { type Sidecar, type Source, startSidecar } from '../sidecar.ts'
import type { Ended } from '../supervise/ended.ts'
import { gone } from '../supervise/gone.ts'
import type { Stop } from '../supervise/stop.ts'
import { announce, firstLook } from './announce.ts'
import { outside } from './outside.ts'

/** The application's command, and who becomes it: a child of ours, or the launcher. */
export interface Command {
  readonly verb: 'run' | 'exec'
  readonly words: readonly string[]
}

/**
 * Resolves when all is over with how this process is to end; rejects if something cannot start. Nothing outlives it but an
 * application that `exec` has started.
 */
export async function ride(
  options: Options,
  stop: Stop,
  command?: Command,
  source?: Source,
): Promise<Pick<Ended, 'code' | 'signal'>> {
  switch (command?.verb) {
    case undefined:
      return { code: await attached(options, stop, source), signal: undefined }
    case 'run':
      return (await import('./run.ts')).run(options, stop, command.words, source)
    case 'exec':
      return (await import('./exec.ts')).beside(options, stop, command.words, source)
  }
}

async function attached(options: Options, stop: Stop, source?: Source): Promise<number> {
  const { log, write, world } = outside(options, stderr())
  let asked = false
  let reload = (): void => {
    asked = true
  }
  // From the start: it would end us.
  process.on('SIGHUP', () => reload())
  await using sidecar = await startSidecar(options, world, undefined, source)
  // A reload logs its own errors.
  reload = () => void sidecar.reload('SIGHUP').catch(() => {})
  if (asked) reload()
  const ended = new AbortController()
  process.on('uncaughtException', error => {
    sidecar.uncaught()
    log.error('error in the sidecar, which goes on', { error })
  })
  void (async () => {
    await firstLook(sidecar, ended.signal)
    announce(sidecar, options, write, sidecar.findings())
  })()
  const stopped = new Promise<string>(resolve => stop.answer(resolve))
  const lonely = alone(sidecar, options.app.exit_after_gone, ended.signal)
  log.info('stopping', { because: await Promise.race([stopped, lonely]) })
  ended.abort()
  await sidecar.finish()
  return 0
}

/** Resolves with what to say when the application has gone for good, if that is to be the end of the sidecar. */
async function alone({ app }: Sidecar, afterMs: number, ended: AbortSignal): Promise<string> {
  if (afterMs > 0 && (await gone(app, afterMs, clock, ended))) return 'the application has gone'
  return await new Promise(() => {})
}
