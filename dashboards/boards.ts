// The set of dashboards, in the order in which a person reads them.

import { application } from './application.ts'
import type { Board } from './board.ts'
import { healthBoard } from './health.ts'
import { overview } from './overview.ts'
import { processBoard } from './process.ts'
import { requestsBoard } from './requests.ts'
import { runtime } from './runtime.ts'
import { sidecar } from './sidecar.ts'
import { slo } from './slo.ts'

export const BOARDS: readonly Board[] = [
  overview,
  application,
  requestsBoard,
  runtime,
  processBoard,
  healthBoard,
  slo,
  sidecar,
]
