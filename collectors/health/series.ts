// The metric objects of the probes, and how one verdict changes them.

import type { Metrics } from '../../metrics/registry.ts'
import { PHASES } from '../../telemetry/client.ts'
import type { HealthDocument } from './document.ts'
import * as family from './families.ts'
import { REASONS, type Verdict } from './verdict.ts'

export class Series {
  readonly #up
  readonly #success
  readonly #probes
  readonly #failures
  readonly #duration
  readonly #phase
  readonly #loopDelay
  readonly #status
  readonly #consecutive
  readonly #changes
  readonly #last
  readonly #first
  readonly #expiry
  readonly #component
  readonly #value
  readonly #dropped
  readonly #info
  /** The document whose components are exported, by probe. */
  readonly #documents = new Map<string, HealthDocument>()
  readonly #targets = new Map<string, { probe: string; kind: string; target: string }>()

  constructor(metrics: Metrics) {
    this.#up = metrics.gauge(family.healthUp)
    this.#success = metrics.gauge(family.probeSuccess)
    this.#probes = metrics.counter(family.probes)
    this.#failures = metrics.counter(family.probeFailures)
    this.#duration = metrics.histogram(family.probeDuration)
    this.#phase = metrics.counter(family.probePhase)
    this.#loopDelay = metrics.counter(family.probeLoopDelay)
    this.#status = metrics.gauge(family.statusCode)
    this.#consecutive = metrics.gauge(family.consecutiveFailures)
    this.#changes = metrics.counter(family.stateChanges)
    this.#last = metrics.gauge(family.lastProbe)
    this.#first = metrics.gauge(family.firstSuccess)
    this.#expiry = metrics.gauge(family.certificateExpiry)
    this.#component = metrics.gauge(family.componentUp)
    this.#value = metrics.gauge(family.componentValue)
    this.#dropped = metrics.counter(family.componentsDropped)
    this.#info = metrics.gauge(family.probeInfo)
  }

  /** Known label sets start at 0; values that need a verdict stay absent. */
  begin(probe: string): void {
    this.#probes.inc({ probe }, 0)
    for (const reason of REASONS) this.#failures.inc({ probe, reason }, 0)
    for (const phase of PHASES) this.#phase.inc({ probe, phase }, 0)
    this.#duration.zero({ probe })
    this.#loopDelay.inc({ probe }, 0)
    this.#consecutive.set({ probe }, 0)
    this.#changes.inc({ probe }, 0)
    this.#dropped.inc({ probe }, 0)
  }

  asks(probe: string, kind: string, target: string): void {
    const before = this.#targets.get(probe)
    if (before?.target === target) return
    if (before) this.#info.remove(before)
    const labels = { probe, kind, target }
    this.#info.set(labels, 1)
    this.#targets.set(probe, labels)
  }

  record(probe: string, verdict: Verdict, consecutiveFailures: number, loopDelayMs: number, now: number): void {
    this.#probes.inc({ probe })
    if (!verdict.ok) this.#failures.inc({ probe, reason: verdict.reason })
    this.#success.set({ probe }, verdict.ok ? 1 : 0)
    this.#consecutive.set({ probe }, consecutiveFailures)
    this.#duration.observe({ probe }, verdict.seconds)
    for (const phase of PHASES) this.#phase.inc({ probe, phase }, verdict.phases[phase])
    this.#loopDelay.inc({ probe }, loopDelayMs / 1000)
    this.#last.set({ probe }, now / 1000)
    if (verdict.status === undefined) this.#status.remove({ probe })
    else this.#status.set({ probe }, verdict.status)
    // The expiry is kept while the application is away, since an expired certificate may be the reason.
    if (verdict.notAfter !== undefined) this.#expiry.set({ probe }, verdict.notAfter)
    this.#document(probe, verdict.document)
  }

  decide(probe: string, up: boolean, changed: boolean): void {
    this.#up.set({ probe }, up ? 1 : 0)
    if (changed) this.#changes.inc({ probe })
  }

  firstSuccess(probe: string, seconds: number): void {
    this.#first.set({ probe }, seconds)
  }

  /** The probe has been removed: its state is removed, its counters stay. */
  forget(probe: string): void {
    for (const gauge of [this.#up, this.#success, this.#status, this.#consecutive, this.#expiry])
      gauge.remove({ probe })
    this.#document(probe, undefined)
    const target = this.#targets.get(probe)
    if (target) this.#info.remove(target)
    this.#targets.delete(probe)
  }

  #document(probe: string, document: HealthDocument | undefined): void {
    const before = this.#documents.get(probe)
    for (const { name } of before?.components ?? []) this.#component.remove({ probe, component: name })
    for (const { name, unit } of before?.observed ?? []) this.#value.remove({ probe, component: name, unit })
    if (document === undefined) {
      this.#documents.delete(probe)
      return
    }
    for (const { name, up } of document.components) this.#component.set({ probe, component: name }, up ? 1 : 0)
    for (const { name, unit, value } of document.observed) this.#value.set({ probe, component: name, unit }, value)
    this.#dropped.inc({ probe }, document.dropped)
    this.#documents.set(probe, document)
  }
}
