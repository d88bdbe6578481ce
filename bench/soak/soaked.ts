// The options of a soak and its results.

import type { Answer as Visits } from './customers.ts'
import type { Life } from './life.ts'
import type { Application } from './ridden.ts'
import type { Account } from './sender.ts'

export interface Plan {
  readonly minutes: number
  /** The built program. */
  readonly main: string
  readonly folder: string
  /** A file made by `packBodies`. */
  readonly bodies: string
  readonly progress: (line: string) => void
}

export interface Soaked {
  readonly plan: Plan
  readonly rate: number
  readonly visits: number
  readonly periodSeconds: number
  readonly scrapeSeconds: number
  readonly lives: readonly Life[]
  readonly customers: Visits
  readonly applications: Readonly<Record<Name, Application>>
  /** `pillion run`: MiB and share of a core of its sidecar; how often it was killed, and how often its application survived. */
  readonly run: {
    readonly rssMost: number
    readonly cpu: number
    readonly killed: number
    readonly survived: number
  }
  readonly end: { readonly code: number | NodeJS.Signals; readonly seconds: number }
  readonly sender: Account
  readonly minutes: number
}

export const NAMES = ['alone', 'beside', 'run'] as const
export type Name = (typeof NAMES)[number]
