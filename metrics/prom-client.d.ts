// prom-client's index loads its push gateway, cluster and OpenTelemetry support with it, which cost 16 MiB that a
// sidecar does not use (docs/dependencies.md). Its classes are imported one by one instead; these are their types.

declare module 'prom-client/lib/registry.js' {
  import { Registry } from 'prom-client'
  export default Registry
}
declare module 'prom-client/lib/counter.js' {
  import { Counter } from 'prom-client'
  export default Counter
}
declare module 'prom-client/lib/gauge.js' {
  import { Gauge } from 'prom-client'
  export default Gauge
}
declare module 'prom-client/lib/histogram.js' {
  import { Histogram } from 'prom-client'
  export default Histogram
}
/** One of the default metrics: registers itself under a prefix. */
declare module 'prom-client/lib/metrics/*.js' {
  import type { Registry } from 'prom-client'
  export default function register(registry: Registry, config: { prefix: string; gcDurationBuckets?: number[] }): void
}
