// Push: the whole page to one receiver, as OTLP metrics or as Prometheus remote write, each interval and once more at the end.
// It takes the page that a scrape gets, so whatever is on /metrics is pushed, and a number means the same either way.

import { hostname } from 'node:os'
import type { Exposition } from '../telemetry/exposition.ts'
import type { Host } from '../telemetry/host.ts'
import type { Part, Running } from '../telemetry/part.ts'
import type { Tracer } from '../telemetry/tracer.ts'
import { families } from './push/families.ts'
import { resourceOf } from './push/identity.ts'
import { options, type PushOptions } from './push/options.ts'

export * from './push/families.ts'
export { loopFault } from './push/loop.ts'
export type { PushOptions } from './push/options.ts'

export interface PushHost extends Host {
  readonly version: string
  /** The name of the application's service, if one is known. */
  readonly service?: string | undefined
  readonly tracer: Tracer
  /** One scrape in the format that `accept` negotiates, in `ms` milliseconds at most, which nobody else reads. */
  page(accept: string | undefined, signal: AbortSignal, ms: number): Promise<Exposition>
}

export const push = {
  name: 'push',
  about:
    'Pushes the metrics to a receiver of OTLP or of Prometheus remote write, and once more when the application ends.',
  families,
  options,
  off: ({ endpoint }) => endpoint === undefined,
  async start(options: PushOptions, host: PushHost): Promise<Running> {
    const { endpoint } = options
    if (endpoint === undefined) throw new Error('cannot push: push.endpoint is not set')
    const [{ Pusher }, { Receiver }] = await Promise.all([import('./push/pusher.ts'), import('./push/receiver.ts')])
    const { clock, log, metrics, app, memory, version, tracer } = host
    const pusher = new Pusher(options, new Receiver({ ...options, endpoint }, version, clock), {
      clock,
      log,
      metrics,
      app,
      version,
      memory: memory.allot('push', MOST_BYTES),
      resource: resourceOf(options, host.service, `${hostname()}:${process.pid}`),
      origin: clock.now() / 1000,
      page: (accept, signal, ms) => host.page(accept, signal, ms),
      // Counters of the application's process are 0 at first if the sidecar has started it.
      foreign: family =>
        metrics.readings.has(family) && !(app.child !== undefined && family.startsWith('app_process_')),
      span() {
        const span = tracer.begin('push', 'client')
        return {
          traceparent: span.recorded ? span.traceparent : undefined,
          end: problem => span.end(problem === undefined ? {} : { problem }),
        }
      },
    })
    const stop = new AbortController()
    let running: Promise<void> | undefined
    let finished: Promise<void> | undefined
    running = pusher.run(stop.signal).catch(error => log.error('cannot push any more', { error }))
    return {
      findings: () => pusher.findings(),
      finish(signal) {
        finished ??= (async () => {
          stop.abort(ENDED)
          await running
          await pusher.finish(signal)
        })()
        return finished
      },
      async [Symbol.asyncDispose]() {
        stop.abort(ENDED)
        await running
      },
    }
  },
} satisfies Part<PushOptions, PushHost>

/** Two pages of 100 000 series, with what is remembered of them. */
const MOST_BYTES = 96 * 1024 * 1024

/** Without a reason of ours each abort makes an exception with a stack. */
const ENDED = new Error('the push has ended')
