// A request that is a query, with what it needs to be answered.

import type { Pace, Source } from '../../../traceql/reading.ts'
import type { Answer } from './answer.ts'
import type { Params } from './params.ts'

export interface Asked {
  readonly params: Params
  readonly source: Source
  readonly pace: Pace
  readonly answer: Answer
}
