// The table of views: to add one, write its folder and one entry here.

import type { ComponentType } from 'preact'
import { Logs } from './logs/index.tsx'
import { ServiceMap } from './map/index.tsx'
import { Metrics } from './metrics/index.tsx'
import { Operations } from './operations/index.tsx'
import { Overview } from './overview/index.tsx'
import type { Route } from './route.ts'
import { Sidecar } from './sidecar/index.tsx'
import { Trace, Traces } from './traces/index.tsx'

export interface View {
  /** The first piece of its path: "traces" for #/traces?q=…; further pieces are the view's own. */
  readonly path: string
  readonly title: string
  /** The one in whose place of the navigation it stands; without it, it has a place of its own. */
  readonly under?: string
  readonly view: ComponentType<{ readonly route: Route }>
}

export const VIEWS: readonly View[] = [
  { path: 'overview', title: 'Overview', view: Overview },
  { path: 'operations', title: 'Operations', view: Operations },
  { path: 'traces', title: 'Traces', view: Traces },
  { path: 'trace', title: 'Trace', under: 'traces', view: Trace },
  { path: 'logs', title: 'Logs', view: Logs },
  { path: 'map', title: 'Map', view: ServiceMap },
  { path: 'metrics', title: 'Metrics', view: Metrics },
  { path: 'sidecar', title: 'Sidecar', view: Sidecar },
]
