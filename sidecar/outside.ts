// The real world for one sidecar: its log, and where its lines go.

import { clock } from '../host/clock.ts'
import { LineLog, type Write } from '../host/log.ts'
import type { Options } from '../parts.ts'
import type { World } from '../sidecar.ts'

export interface Outside {
  readonly log: LineLog
  readonly write: Write
  readonly world: World
}

export function outside(options: Options, write: Write): Outside {
  const { level, format, quiet } = options.log
  const log = new LineLog(quiet && level === 'info' ? 'warn' : level, clock, write, format)
  const world: World = {
    proc: '/proc',
    clock,
    log,
    onLevel(next) {
      log.level = quiet && next === 'info' ? 'warn' : next
    },
  }
  return { log, write, world }
}
