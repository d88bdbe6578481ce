// `pillion tap`: the tap alone in this process, until a signal ends it.

import { runTap } from '../collectors/tap.ts'
import { clock } from '../host/clock.ts'
import { openFilesLimit } from '../host/descriptors.ts'
import { LineLog, stderr } from '../host/log.ts'
import { optimizeUnderLoad } from '../host/optimize.ts'
import type { Options } from '../parts.ts'
import type { Stop } from '../supervise/stop.ts'
import { ownVersion } from '../version.ts'

/** Resolves with the exit code; rejects if it cannot start. `given` is what a sidecar has passed on, or the options. */
export async function tap(given: string | Options, stop: Stop): Promise<number> {
  const { level, format } = typeof given === 'string' ? ({ level: 'info', format: 'logfmt' } as const) : given.log
  const log = new LineLog(level, clock, stderr(), format)
  using _ = optimizeUnderLoad()
  const stopped = new Promise<string>(resolve => stop.answer(resolve))
  const world = { clock, log, files: openFilesLimit('/proc') }
  process.on('uncaughtException', error => log.error('error in the tap, which goes on', { error }))
  const running = await runTap(typeof given === 'string' ? given : { ...given, version: ownVersion() }, world)
  // Reloading is not for it, and must not end it.
  process.on('SIGHUP', () => {})
  const because = await stopped
  log.info('the tap is ending; open requests may go on', { because })
  await running.end()
  return 0
}
