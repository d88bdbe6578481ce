// The parts that the sidecar is made of. The option schema and the catalogue of metrics, and from these the command line,
// the YAML keys, the variables and the documents, follow from the list here; so do the order of start and that of the page.

import { disk } from './collectors/disk.ts'
import { files } from './collectors/files.ts'
import { guessFault, health } from './collectors/health.ts'
import { memory } from './collectors/memory.ts'
import { moments } from './collectors/moments.ts'
import { otlp } from './collectors/otlp.ts'
import { process } from './collectors/process.ts'
import { scrape } from './collectors/scrape.ts'
import { self } from './collectors/self.ts'
import { tap, tapFault } from './collectors/tap.ts'
import { flight } from './exporter/flight.ts'
import { forward, upstreamFaults } from './exporter/forward.ts'
import { collectorDuration, collectorSuccess } from './exporter/prometheus.ts'
import { loopFault, push } from './exporter/push.ts'
import { traces } from './exporter/traces.ts'
import { web } from './exporter/web.ts'
import type { Family } from './metrics/family.ts'
import { series, seriesExpired, seriesOverflow } from './metrics/registry.ts'
import { app } from './options/app.ts'
import { type Field, type Fields, flag, type Section, section, type Values } from './options/kinds.ts'
import { log } from './options/log.ts'
import { type Reading, read, type Sources } from './options/read.ts'
import { run } from './options/run.ts'
import { blame } from './processors/blame.ts'
import { logs } from './processors/logs.ts'
import { path } from './processors/path.ts'
import { metrics } from './processors/points.ts'
import { sampling } from './processors/sampling.ts'
import { spans } from './processors/spans.ts'
import { trees } from './processors/trees.ts'
import type { Description, Part } from './telemetry/part.ts'
import { successful, successTime } from './telemetry/reload.ts'

/** Sections that no part owns. */
const shared = { app, run, log }

/**
 * Every part that can be started, under its name, in the order of the page: what a person wants first comes first. They are
 * started from the last to the first, and stopped from the first to the last, since a part leans on those below it: a
 * receiver needs its consumers, and the web server is there from the beginning to the end.
 */
export const list = {
  health,
  process,
  moments,
  disk,
  scrape,
  files,
  flight,
  otlp,
  tap,
  spans,
  blame,
  path,
  metrics,
  logs,
  traces,
  push,
  forward,
  web,
  memory,
  self,
}

/** The numbers of a scrape about itself. */
const exposition: Description = {
  name: 'exposition',
  about: 'The scrape itself: which collectors answered, and how many series the tables hold.',
  families: [collectorSuccess, collectorDuration, series, seriesOverflow, seriesExpired],
  options: undefined,
}

/** The outcome of reloading the configuration. */
const config: Description = {
  name: 'config',
  about: 'The configuration: whether the last one that was read is in effect.',
  families: [successful, successTime],
  options: undefined,
}

/** All that is described in the documents: the parts, and what the assembly itself says. */
export const parts: Readonly<Record<string, Description>> = { ...list, sampling, trees, exposition, config }

export const families: readonly Family[] = Object.values(parts).flatMap(part => part.families)

export const settings: Section<Fields> = {
  ...section('All options of Pillion, an observability sidecar.', {
    ...shared,
    ...Object.fromEntries(Object.values<Part<unknown, never>>(list).map(part => [part.name, optionsOf(part)])),
  }),
  check(values, origins) {
    const { app, health, push, forward, otlp, tap, web } = values as Options // as `readOptions` says
    const guess = health.enabled === false ? undefined : guessFault(health, app.url)
    const listeners = [otlp.http.listen, otlp.grpc.listen, web.listen]
    const tapped = tapFault({ tap, app, otlp })
    const loop = loopFault(push.endpoint, listeners)
    return [
      ...(guess === undefined ? [] : [{ path: 'app.url', message: guess }]),
      ...(tapped === undefined ? [] : [{ ...tapped, path: `tap.${tapped.path}` }]),
      ...(loop === undefined ? [] : [{ path: 'push.endpoint', message: loop }]),
      ...upstreamFaults(forward, listeners, origins).map(each => ({ ...each, path: `forward.${each.path}` })),
    ]
  },
}

/** The options that `pillion help` shows, in this order. */
export const firstOptions: readonly string[] = [
  'app.url',
  'app.name',
  'app.match',
  'health.probes[].name',
  'health.probes[].url',
  'web.listen',
  'web.token_file',
  'otlp.http.listen',
  'forward.endpoint',
  'spans.dimensions',
]

/** The values of all sections: a part's are what its `start` takes, besides whether it is started. */
export type Options = { readonly [Name in keyof typeof shared]: Values<(typeof shared)[Name]> } & {
  readonly [Name in keyof typeof list]: Taken<(typeof list)[Name]> & { readonly enabled?: boolean }
}

type Taken<P> = P extends { start(options: infer O, ...rest: never[]): unknown } ? O : never

/** A started part of this name, as its `start` returns it. */
export type Started<Name extends keyof typeof list> = Awaited<ReturnType<(typeof list)[Name]['start']>>

export async function readOptions(sources: Sources): Promise<Reading<Options>> {
  // Each part types its `start` by the values of its own section, which is the one that `settings` has under its name.
  return (await read(settings, sources)) as Reading<Options>
}

/** A part that is not switched off by an option of its own gets one that does. */
function optionsOf({ about, off, options = section(about, {}) }: Part<unknown, never>): Field {
  if (off) return options
  const enabled = flag('Whether this part runs. If false, its metrics and its status are absent.', { default: true })
  return { ...options, fields: { enabled, ...options.fields } }
}
