// The parts that the sidecar is made of. The option schema and the catalogue of metrics, and from these the command line,
// the YAML keys, the variables and the documents, follow from the lists here.

import { health } from './collectors/health.ts'
import { logs } from './collectors/logs.ts'
import { metrics } from './collectors/metrics.ts'
import { otlp } from './collectors/otlp.ts'
import { process } from './collectors/process.ts'
import { self } from './collectors/self.ts'
import { spans } from './collectors/spans.ts'
import {
  collectorDuration,
  collectorSuccess,
  type Family,
  series,
  seriesExpired,
  seriesOverflow,
} from './exporter/metrics.ts'
import { web } from './exporter/web.ts'
import { app } from './options/app.ts'
import { type Field, type Fields, type Section, section, type Values } from './options/kinds.ts'
import { log } from './options/log.ts'
import { type Reading, read, type Sources } from './options/read.ts'
import { reloadFamilies } from './sidecar/families.ts'

export interface Part {
  /** One sentence for the README's table. */
  readonly about: string
  readonly families: readonly Family[]
  readonly options: Field | undefined
}

/** Sections that no part owns. */
const shared = { app, log }

/** One line for each part with options; the section has the part's name. */
const configured = {
  health,
  process,
  otlp,
  spans,
  metrics,
  logs,
  web,
  self,
}

/** What a scrape says about itself. */
const exposition: Part = {
  about: 'The exposition: which collectors answered, and how many series the tables hold.',
  families: [collectorSuccess, collectorDuration, series, seriesOverflow, seriesExpired],
  options: undefined,
}

/** What becomes of a configuration that changes. */
const config: Part = {
  about: 'The configuration: whether the one that was read last is in effect.',
  families: reloadFamilies,
  options: undefined,
}

/** One line for each part without. */
const fixed = {
  exposition,
  config,
}

export const parts: Readonly<Record<string, Part>> = { ...configured, ...fixed }

export const families: readonly Family[] = Object.values(parts).flatMap(part => part.families)

export const settings: Section<Fields> = section('All options of Pillion, an observability sidecar.', {
  ...shared,
  ...Object.fromEntries(Object.entries(configured).map(([name, part]) => [name, optionsOf(name, part)])),
})

/** The values of all sections: a part's are what its `start` takes. */
export type Options = { readonly [Name in keyof typeof shared]: Values<(typeof shared)[Name]> } & {
  readonly [Name in keyof typeof configured]: Taken<(typeof configured)[Name]>
}

type Taken<P> = P extends { start(options: infer O, ...rest: never[]): unknown } ? O : never

export async function readOptions(sources: Sources): Promise<Reading<Options>> {
  // Each part types its `start` by the values of its own section, which is the one that `settings` has under its name.
  return (await read(settings, sources)) as Reading<Options>
}

function optionsOf(name: string, part: Part): Field {
  if (!part.options) throw new Error(`cannot configure ${name}: it has no options; list it among the fixed parts`)
  return part.options
}
