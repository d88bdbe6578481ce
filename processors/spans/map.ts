// GET /api/map: the service graph as numbers since the start, which whoever asks twice makes rates of (docs/api.md).

import type { Metrics, Sample } from '../../metrics/registry.ts'
import type { Route } from '../../telemetry/route.ts'
import type { EdgeFamilies } from './edges.ts'

interface Edge {
  readonly client: string
  readonly server: string
  /** As the label connection_type. */
  readonly type: string
  requests: number
  failed: number
  /** As the server saw them, or the client if the server sends no spans. */
  seconds: number
  /** Requests in each bucket, the last one without a bound. */
  readonly buckets: number[]
}

/**
 * `families` is undefined if no graph is made. `now` is in milliseconds since the epoch. `collect` counts the requests that have
 * waited long enough for their other half.
 */
export function mapRoute(
  metrics: Metrics,
  families: EdgeFamilies | undefined,
  now: () => number,
  collect: () => void,
): Route {
  return {
    path: '/api/map',
    methods: ['GET'],
    access: 'operator',
    async handle(_, response) {
      collect()
      const edges = families ? await edgesOf(metrics, families) : { edges: [], overflow: 0 }
      const text = JSON.stringify({
        now: now(),
        enabled: families !== undefined,
        bounds: families?.server.buckets ?? [],
        ...edges,
      })
      response
        .writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) })
        .end(text)
    },
  }
}

async function edgesOf(
  metrics: Metrics,
  { total, failed, server }: Pick<EdgeFamilies, 'total' | 'failed' | 'server'>,
): Promise<{ edges: readonly Edge[]; overflow: number }> {
  const edges = new Map<string, Edge>()
  const width = server.buckets.length + 1
  const edge = ({ labels }: Sample): Edge | undefined => {
    const { client, server, connection_type } = labels
    // Edges beyond the limit have no names.
    if (client === undefined || server === undefined) return undefined
    const key = JSON.stringify([client, server, connection_type])
    const known = edges.get(key)
    if (known) return known
    const made: Edge = {
      client: String(client),
      server: String(server),
      type: String(connection_type ?? ''),
      requests: 0,
      failed: 0,
      seconds: 0,
      buckets: new Array<number>(width).fill(0),
    }
    edges.set(key, made)
    return made
  }
  let overflow = 0
  for (const sample of await metrics.samples(total)) {
    const found = edge(sample)
    if (found) found.requests = sample.value
    else overflow += sample.value
  }
  for (const sample of await metrics.samples(failed)) {
    const found = edge(sample)
    if (found) found.failed = sample.value
  }
  for (const sample of (await metrics.samples(server)) as readonly Part[]) {
    const found = edge(sample)
    if (!found) continue
    if (sample.metricName?.endsWith('_sum')) found.seconds = sample.value
    else if (sample.metricName?.endsWith('_bucket')) {
      const { le } = sample.labels
      const bucket = le === '+Inf' ? width - 1 : server.buckets.indexOf(Number(le))
      if (bucket >= 0) found.buckets[bucket] = sample.value
    }
  }
  // They are cumulative on the page.
  for (const { buckets } of edges.values()) for (let i = width - 1; i > 0; i--) buckets[i]! -= buckets[i - 1]!
  return { edges: [...edges.values()], overflow }
}

/** A histogram yields buckets, sum and count. */
interface Part extends Sample {
  readonly metricName?: string
}
