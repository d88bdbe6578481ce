// Which spans may become exemplars. If traces are sampled, an exemplar that points to a trace that was left out leads nowhere,
// so exemplars are chosen from the spans that are sent on.

import type { SpanView } from './consumer.ts'

export class ExemplarChoice {
  #passes: ((view: SpanView) => boolean) | undefined

  /**
   * From now on only spans for which this answers true are chosen. It is asked for spans of the request that is being shown,
   * in any order of the consumers, so it must know the span even if it has not been shown it.
   */
  only(passes: (view: SpanView) => boolean): void {
    this.#passes = passes
  }

  /** Whether the span may become an exemplar. */
  may(view: SpanView): boolean {
    return this.#passes === undefined || this.#passes(view)
  }
}
