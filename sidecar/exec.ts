// `pillion exec`: the launcher becomes the application, and the sidecar runs beside it until it has gone.

import { closeSync } from 'node:fs'
import { clock } from '../host/clock.ts'
import { stderr } from '../host/log.ts'
import type { Options } from '../parts.ts'
import type { Source } from '../sidecar.ts'
import { refusal } from '../supervise/command.ts'
import type { Ended } from '../supervise/ended.ts'
import { applicationEnvironment } from '../supervise/environment.ts'
import { environmentScript, handOver, identity } from '../supervise/handover.ts'
import { environmentOf, origin } from '../supervise/launch.ts'
import { Memory } from '../supervise/memory.ts'
import { serviceName } from '../supervise/name.ts'
import type { Stop } from '../supervise/stop.ts'
import { announce, tellLater, warning } from './announce.ts'
import { become, linger } from './become.ts'
import { startOpenable } from './openable.ts'
import { outside } from './outside.ts'

/** The time between two looks whether a process that is not our child has ended. */
const LOOK_MS = 100

export async function beside(
  options: Options,
  stop: Stop,
  words: readonly string[],
  source?: Source,
): Promise<Pick<Ended, 'code' | 'signal'>> {
  const { launch, environment } = origin()
  if (!launch)
    throw new Error(
      'cannot become the application: exec is done by the launcher; write "pillion exec [options] -- CMD"',
    )
  const { pid } = launch
  for (const fd of launch.descriptors.filter(each => each > 3)) closeSync(fd)
  const { log, write, world } = outside(options, stderr())
  const wrong = refusal(words[0] ?? '', environment['PATH'])
  if (wrong) {
    log.error(wrong.text)
    return { code: wrong.code, signal: undefined }
  }
  const launcher = identity(pid)
  await using started = await startOpenable(options, world, words, source)
  const { sidecar, findings } = started
  const service = serviceName(words, options.app.name)
  const inherited = environmentOf(pid) ?? environment
  const { env, diverted } = applicationEnvironment(
    inherited,
    sidecar.listeners,
    service,
    sidecar.forwards !== undefined && options.forward.adopt,
  )
  const before = [...findings, ...(diverted ? [warning('otlp', diverted)] : [])]
  announce(sidecar, options, write, before, { words, service })

  // Signals of the terminal and of the group are meant for the application.
  await stop.release()
  const insisted = new AbortController()
  let asked = 0
  process.on('SIGTERM', () => {
    asked++
    // The first one has gone to the whole group: what the application sends while it ends is still taken.
    if (asked > 1) insisted.abort()
  })
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGTSTP', 'SIGTTIN', 'SIGTTOU'] as const)
    process.on(signal, () => {})
  process.on('uncaughtException', error => {
    sidecar.uncaught()
    log.error('error in the sidecar, which goes on', { error })
  })
  const ended = new AbortController()
  const begun = clock.monotonic()
  handOver(environmentScript(inherited, env, launch))
  await become(pid, ended.signal, launcher?.command)
  sidecar.app.child = pid
  const memory = new Memory()
  void memory.follow(pid, ended.signal)
  void tellLater(sidecar, options, write, ended.signal)
  // Its timers do not keep the process alive.
  const alive = setInterval(() => {}, 60_000)
  try {
    while (identity(pid)?.start === launcher?.start) await clock.sleep(LOOK_MS, insisted.signal)
  } catch {
    log.info('stopping', { because: 'SIGTERM' })
  }
  clearInterval(alive)
  ended.abort()
  if (!insisted.signal.aborted) {
    const seconds = Math.round((clock.monotonic() - begun) / 10) / 100
    log.info('the application has ended; its exit status goes to the process that started it', {
      seconds,
      peak_memory_bytes: memory.peakBytes,
      ...(await sidecar.seen()),
    })
    sidecar.app.outcome = {
      code: undefined,
      seconds,
      cpuSeconds: undefined,
      peakBytes: memory.peakBytes,
      at: clock.now(),
    }
    await sidecar.finish()
    await linger(options, log)
  }
  return { code: 0, signal: undefined }
}
