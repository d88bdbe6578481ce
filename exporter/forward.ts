// Forwarding: everything that is received goes on to one or more upstreams over OTLP. Without an upstream the part is off, and
// nothing of it is loaded.

import type { Part } from '../telemetry/part.ts'
import { families } from './forward/families.ts'
import type { ForwardHost } from './forward/host.ts'
import { type ForwardOptions, options } from './forward/options.ts'

export * from './forward/families.ts'
export type { ForwardHost, ForwardRunning } from './forward/host.ts'
export type { ForwardOptions } from './forward/options.ts'
export { adoptedFrom, upstreamFaults } from './forward/own.ts'

export const forward = {
  name: 'forward',
  about: 'Forwards everything that is received to one or more upstreams over OTLP.',
  families,
  options,
  off: ({ enabled, endpoint, traces, metrics, logs, upstreams }) =>
    !enabled || [endpoint, traces.endpoint, metrics.endpoint, logs.endpoint, upstreams[0]].every(each => !each),
  start: async (options, host) => (await import('./forward/forwarder.ts')).openForwarder(options, host),
} as const satisfies Part<ForwardOptions, ForwardHost>
