// The trace context of probes. Every probe has one, so that the application's server span joins it; the sidecar's own span is
// recorded only if the operator asks for it (telemetry/tracer.ts).

import { PHASES } from '../../telemetry/client.ts'
import type { OwnSpan, Tracer } from '../../telemetry/tracer.ts'
import type { Verdict } from './verdict.ts'

/** Begins the sidecar's own span of a probe. */
export function beginProbe(
  tracer: Tracer,
  probe: { readonly name: string; readonly kind: string; readonly target: string },
): OwnSpan {
  return tracer.begin(`probe ${probe.name}`, 'client', {
    'pillion.probe.name': probe.name,
    'pillion.probe.kind': probe.kind,
    'pillion.probe.target': probe.target,
  })
}

/** Ends it with what was found. */
export function endProbe(span: OwnSpan, verdict: Verdict): void {
  const attributes: Record<string, string | number> = {}
  if (!verdict.ok) attributes['error.type'] = verdict.reason
  if (verdict.status !== undefined) attributes['pillion.probe.status'] = verdict.status
  for (const phase of PHASES)
    if (verdict.phases[phase] > 0) attributes[`pillion.probe.phase.${phase}`] = verdict.phases[phase]
  span.end({ attributes, ...(verdict.ok ? {} : { problem: verdict.detail }) })
}

/** Which trace context probes send: that of their span as it is, the same with the sampled flag set or cleared, or none. */
export const TRACEPARENTS = ['auto', 'sampled', 'unsampled', 'off'] as const
export type Traceparent = (typeof TRACEPARENTS)[number]

/** The header for a probe whose span has this trace context. */
export function sent(traceparent: string, choice: Traceparent): string | undefined {
  switch (choice) {
    case 'auto':
      return traceparent
    case 'sampled':
      return traceparent.replace(/00$/, '01')
    case 'unsampled':
      return traceparent.replace(/01$/, '00')
    case 'off':
      return undefined
  }
}
