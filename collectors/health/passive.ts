// The passive probe: asks nothing, and judges by the answers that were seen in the application's access log or by a tap.
// An application that is asked for nothing is neither well nor ill; then the probe says nothing, unless it is told that silence
// is a failure.

import { failed } from '../../client/failure.ts'
import { Stopwatch } from '../../client/stopwatch.ts'
import type { Answers } from '../../telemetry/seen.ts'
import type { ProbeContext, Verdict } from './verdict.ts'

export interface PassiveTarget {
  readonly kind: 'passive'
  /** Milliseconds of answers that are judged. */
  readonly window: number
  /** Fewer answers than this are a failure; 0: no answer says nothing. */
  readonly minAnswers: number
  /** The largest share of answers with a status from 500 on. */
  readonly maxErrors: number
}

/** Undefined if there is nothing to judge by. */
export function passive(
  target: PassiveTarget,
  seen: Answers,
  { clock }: Pick<ProbeContext, 'clock'>,
): Verdict | undefined {
  const { window, minAnswers, maxErrors } = target
  const { answers, failures } = seen.within(window)
  const watch = new Stopwatch(clock)
  const last = `in the last ${window / 1000} s`
  if (answers < minAnswers) return watch.stop(failed('silent', `${answers} answers ${last}, fewer than ${minAnswers}`))
  if (answers === 0) return undefined
  if (failures / answers > maxErrors)
    return watch.stop(failed('status', `${failures} of ${answers} answers ${last} have a status of 500 or more`))
  return watch.stop({ ok: true as const })
}
