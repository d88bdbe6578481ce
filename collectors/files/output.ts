// Where what is read goes. One is shared by all sources, so that their lines are sent together.

import { LogRequest, SpanRequest } from './requests.ts'
import { Time } from './time.ts'

export class Output {
  readonly logs = new LogRequest()
  readonly spans = new SpanRequest()
  /** When the lines at hand were read. */
  readonly observed = new Time()
  now = 0
  /** Whether the bytes at hand have an escape or a zero, or "race" (of "trace") anywhere: usually they have none. */
  odd = true
  race = true
}
