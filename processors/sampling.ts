// Sampling of traces on their way out. The forwarder is given a sampler by the assembly (telemetry/sampler.ts), and its options
// are those of forwarding, so this is no part of the list. It is loaded only when traces are sampled.

import { counter, gauge } from '../metrics/family.ts'
import type { Metrics } from '../metrics/registry.ts'
import type { ExemplarChoice } from '../telemetry/exemplar.ts'
import type { Host } from '../telemetry/host.ts'
import type { Keys } from '../telemetry/keys.ts'
import type { Description } from '../telemetry/part.ts'
import type { Sampler, SamplerSurroundings, SamplingOptions } from '../telemetry/sampler.ts'
import type { Counts } from './sampling/sampler.ts'

export const traces = counter(
  'pillion_sampling_traces_total',
  'Traces by decision and reason. kept: error, slow, rare, ordinary. dropped: ratio = by the configured ratio, rate_limit = by a threshold that a limit has raised, guard = as they came, beyond some seconds of the limit.',
  ['decision', 'reason'],
)
export const early = counter(
  'pillion_sampling_early_decisions_total',
  'Traces decided before their time: timeout = no local root within 30 s, memory = forward.sampling.memory was used up, large = too many spans, end = the sidecar ended.',
  ['reason'],
)
export const late = counter(
  'pillion_sampling_late_spans_total',
  'Spans that came after their trace was decided, by what became of them.',
  ['decision'],
)
export const unthresholded = counter(
  'pillion_sampling_unthresholded_spans_total',
  'Spans sent on without a threshold, which count once: the guard was dropping traces, or the threshold that they came with contradicts their trace id.',
)
export const inconsistent = counter(
  'pillion_sampling_inconsistent_spans_total',
  'Spans whose tracestate has a threshold (th) that their own randomness does not pass, so that it says nothing.',
)
export const ratio = gauge(
  'pillion_sampling_ratio',
  'The share of traces that is sent on now, by stratum. Limits lower it.',
  ['stratum'],
)
export const pending = gauge('pillion_sampling_pending_traces', 'Traces that are not decided yet.')

export const sampling: Description = {
  name: 'sampling',
  about: 'Decides which traces are sent on, so that what is left still counts for all.',
  families: [traces, early, late, unthresholded, inconsistent, ratio, pending],
  options: undefined,
}

export interface SamplerHost extends Pick<Host, 'clock' | 'memory'> {
  readonly metrics: Metrics
  readonly keys: Keys
  readonly exemplars: ExemplarChoice
  troubled?(from: number, to: number): boolean
}

/** Makes the sampler of these options. */
export async function openSampler(
  options: SamplingOptions,
  host: SamplerHost,
  around: SamplerSurroundings,
): Promise<Sampler> {
  const { TraceSampler } = await import('./sampling/sampler.ts')
  const sampler = new TraceSampler(options, host, around, publisher(host.metrics))
  host.exemplars.only(view => sampler.passes(view))
  return sampler
}

function publisher(metrics: Metrics): (counts: Counts) => void {
  const readings = {
    traces: metrics.reading(traces),
    early: metrics.reading(early),
    late: metrics.reading(late),
    unthresholded: metrics.reading(unthresholded),
    inconsistent: metrics.reading(inconsistent),
    ratio: metrics.reading(ratio),
    pending: metrics.reading(pending),
  }
  return counts => {
    for (const decision of ['kept', 'dropped'] as const)
      for (const [reason, count] of Object.entries(counts[decision])) readings.traces.set({ decision, reason }, count)
    for (const [reason, count] of Object.entries(counts.early)) readings.early.set({ reason }, count)
    for (const [decision, count] of Object.entries(counts.late)) readings.late.set({ decision }, count)
    for (const [stratum, value] of Object.entries(counts.ratios)) readings.ratio.set({ stratum }, value)
    readings.unthresholded.set({}, counts.unthresholded)
    readings.inconsistent.set({}, counts.inconsistent)
    readings.pending.set({}, counts.pending)
  }
}
