// The answer of /api/overview (docs/api.md).

import type { State } from '../parts.tsx'

export interface Attention {
  readonly level: 'failed' | 'warning' | 'info'
  readonly text: string
  readonly link?: string
  readonly query?: string
  readonly since?: number
  readonly longer?: boolean
}

/** An end of the application. */
export interface End {
  readonly at: number
  readonly pid?: number
  readonly reason: string
  readonly evidence: string
  readonly text: string
}

export interface Summary {
  readonly calls: number
  readonly errors: number
  readonly perSecond: number
  readonly p50?: number
  readonly p95?: number
  readonly p99?: number
}

export type Values = readonly (number | null)[]

export interface OverviewAnswer {
  readonly now: number
  readonly version: string
  readonly uptimeSeconds: number
  readonly application: {
    readonly name?: string
    readonly command?: string
    readonly url?: string
    readonly pid?: number
  }
  readonly well: { readonly state: State; readonly text: string }
  readonly attention: readonly Attention[]
  readonly process: {
    readonly running?: boolean
    readonly startedSeconds?: number
    readonly restarts?: number
    readonly healthy?: boolean
    readonly healthSince?: number
    readonly healthLonger?: boolean
    /** The newest first. */
    readonly ends: readonly End[]
  }
  readonly receiver?: string
  readonly requests: {
    readonly windowSeconds: number
    readonly entered: number
    readonly all: Summary
    readonly services: readonly (Summary & { readonly service: string })[]
  }
  readonly readings: Readonly<Partial<Record<string, number>>>
  readonly history: {
    readonly times: readonly number[]
    readonly requests: Values
    readonly errors: Values
    readonly latency: {
      readonly times: readonly number[]
      readonly p50: Values
      readonly p95: Values
      readonly p99: Values
    }
    readonly readings: Readonly<Partial<Record<string, Values>>>
  }
}
