// The contract between forwarding and the sampling of traces: a sampler stands between the intake and the queues of the
// upstreams. The assembly makes it, since the two belong to different stages.
//
// Spans are passed on, left out, or still held, so that at every moment
//
//   taken = passed on + left out + held

import { bytes, duration, flag, integer, type Kind, section, share, shown, type Values } from '../options/kinds.ts'
import type { SpanConsumer } from './consumer.ts'
import type { Request } from './request.ts'

/** Where a sampler stands. */
export interface SamplerSurroundings {
  /** Takes what is sent on: requests of traces, whose bytes are lent. */
  readonly pass: (request: Request) => void
  /**
   * The time that a sender shall wait, in milliseconds, because no upstream has room: the answer of the sampler's
   * `admit`.
   */
  readonly admit: (request: Request) => number
}

export interface Sampler extends AsyncDisposable {
  /** Is shown all accepted spans instead of the forwarder. It asks for its attributes while it is being built. */
  readonly consumer: SpanConsumer
  /** Every reason for which it leaves out spans: values of a label. */
  readonly reasons: readonly string[]
  /** Spans that were left out so far, by reason. */
  readonly leftOut: ReadonlyMap<string, number>
  /** Spans of traces that are not decided yet, and their bytes. */
  readonly heldSpans: number
  readonly heldBytes: number
  /** Brings its metrics up to date, for a scrape. */
  collect(): void
  /** Decides all that is held with what is known, and passes it on: there will be no more spans. */
  flush(): void
}

/** When a span is slow: above its own operation's 99th percentile, from so many milliseconds on, or never. */
export type Slow = 'p99' | 'off' | number

const time = duration('', { default: '1s', min: '1ms' })

const slow: Kind<Slow> = {
  kind: 'scalar',
  about:
    'Which traces are kept because they are slow: those whose local root takes longer than 99 % of the last ones of its operation (p99), those with a span that takes at least so long (a duration such as 500ms), or none (off).',
  expects: 'p99, a duration such as 500ms, or off',
  json: { type: ['string', 'boolean'] },
  default: 'p99',
  parse(value) {
    if (value === 'p99' || value === 'off') return value
    // YAML 1.1 reads a plain "off" as false.
    if (value === false) return 'off'
    try {
      return time.parse(value)
    } catch {
      throw new Error(`must be p99, a duration such as 500ms, or off, not ${shown(value)}`)
    }
  },
  write: value => (typeof value === 'number' ? time.write?.(value) : value),
}

/** The options of forward.sampling: part of the section of forwarding, and read by the sampler. */
export const samplingOptions = section(
  'Sampling of the traces that are sent on. Metrics are made from all spans before, and each span that is sent on says for how many it stands.',
  {
    ratio: share(
      'The share of ordinary traces that is sent on, from 0 to 1. 1 sends on all of them, so that without a limit nothing is sampled.',
      { default: 1 },
    ),
    errors: flag('Send on all traces with a span whose status is ERROR.', { default: true }),
    slow,
    rare: integer(
      'Send on all traces of an operation (service, span name and kind of the local root) that had fewer traces than this in the last 10 minutes. 0 switches it off.',
      { default: 10, max: 1_000_000 },
    ),
    troubled: flag(
      'Send on all traces of requests that ran while the application was in trouble: it was stopped, throttled for a quarter of the request, near its memory limit, or in an episode of slow requests (see blame). They count as slow ones.',
      { default: false },
    ),
    max_spans_per_second: integer(
      'The most spans that are sent on in a second, on average. Beyond it, the shares of all kinds of traces are lowered, those of ordinary ones first.',
      { min: 1 },
    ),
    max_bytes_per_second: bytes('The same limit in bytes of spans, uncompressed.', { min: '1KiB' }),
    decision_wait: duration(
      'How long after the end of its local root a trace waits for its last spans. One whose local root does not come is decided after 30 s.',
      { default: '1s', min: '0ms', max: '30s' },
    ),
    memory: bytes(
      'Memory for the spans of traces that are not decided yet. If it is used up, the oldest are decided with what is known.',
      { default: '16MiB', min: '8MiB' },
    ),
    mark: flag(
      'Add pillion.kept_because (error, slow, rare or ordinary) to the local root of each trace that is sent on, and pillion.sampling=partial if it was decided without its local root. Otherwise, only the tracestate of spans is changed.',
      { default: false },
    ),
  },
)

export type SamplingOptions = Values<typeof samplingOptions>

/** Whether these options sample at all. */
export function samples({ ratio, max_spans_per_second, max_bytes_per_second }: SamplingOptions): boolean {
  return ratio < 1 || max_spans_per_second !== undefined || max_bytes_per_second !== undefined
}
