// The deadline of a probe, fair to the application: while the sidecar's own event loop was blocked, an answer may have
// waited unread, so that time is measured and added to the deadline before the verdict is `timeout`.

import type { Clock } from '../../telemetry/host.ts'

const TICK_MS = 20
// Timers are a few milliseconds late even in an idle process.
const ORDINARY_MS = 5

/** Runs `work` with a signal that aborts at the deadline, or when `stop` aborts. */
export async function withDeadline<Result>(
  clock: Clock,
  timeoutMs: number,
  stop: AbortSignal,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<{ result: Result; loopDelayMs: number }> {
  const deadline = new AbortController()
  const done = new AbortController()
  const interrupt = (): void => deadline.abort(stop.reason)
  if (stop.aborted) interrupt()
  else stop.addEventListener('abort', interrupt, { once: true })
  const loop = new LoopDelay(clock)
  loop.watch(done.signal).catch(() => {})
  expire(clock, timeoutMs, loop, deadline, done.signal).catch(() => {})
  try {
    const result = await work(deadline.signal)
    return { result, loopDelayMs: loop.total() }
  } finally {
    done.abort()
    stop.removeEventListener('abort', interrupt)
  }
}

async function expire(
  clock: Clock,
  timeoutMs: number,
  loop: LoopDelay,
  deadline: AbortController,
  done: AbortSignal,
): Promise<void> {
  await clock.sleep(timeoutMs, done)
  const lost = loop.total()
  if (lost > 0) await clock.sleep(Math.min(lost, timeoutMs), done)
  deadline.abort()
}

class LoopDelay {
  readonly #clock: Clock
  #total = 0
  #due: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#due = clock.monotonic() + TICK_MS
  }

  /** Rejects when `done` aborts. */
  async watch(done: AbortSignal): Promise<never> {
    for (;;) {
      await this.#clock.sleep(TICK_MS, done)
      this.#total = this.total()
      this.#due = this.#clock.monotonic() + TICK_MS
    }
  }

  /** Includes the current delay: a tick that is overdue and has not run yet. */
  total(): number {
    const late = this.#clock.monotonic() - this.#due
    return late > ORDINARY_MS ? this.#total + late : this.#total
  }
}
