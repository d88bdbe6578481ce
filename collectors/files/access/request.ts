// One request, as a line of an access log tells it. One object is used again for each line.

import { Time } from '../time.ts'

/** The unit of a duration in an access log. */
export type Unit = 's' | 'ms' | 'us' | 'ns'
const SECONDS: Readonly<Record<Unit, number>> = { s: 1, ms: 1e-3, us: 1e-6, ns: 1e-9 }

export class AccessRequest {
  method = ''
  /** As it was sent, with its query. */
  target = ''
  status = 0
  /** Negative if the line does not say how long it took. */
  seconds = -1
  /** When the answer was complete. */
  readonly end = new Time()
  /** When the request came, for logs that say that instead. */
  readonly begin = new Time()
  traceparent: string | undefined

  clear(): void {
    this.method = ''
    this.target = ''
    this.status = 0
    this.seconds = -1
    this.end.clear()
    this.begin.clear()
    this.traceparent = undefined
  }

  /** "GET /path HTTP/1.1"; whatever else clients send has no method and no path. */
  readLine(line: string): void {
    const first = line.indexOf(' ')
    const last = line.lastIndexOf(' ')
    if (first <= 0) return
    this.method = line.slice(0, first)
    this.target = last > first ? line.slice(first + 1, last) : line.slice(first + 1)
  }

  /** A number in this unit; several (nginx: "0.1, 0.2 : 0.3") are of one request that was sent on several times. */
  readDuration(text: string, unit: Unit): boolean {
    const value = Number(text)
    if (text !== '' && value >= 0 && value < 1e18) {
      this.seconds = value * SECONDS[unit]
      return true
    }
    if (text === '-' || text === '') return true
    const all = text.split(/[,:]/).map(Number)
    if (all.length < 2 || !all.every(each => each >= 0)) return false
    this.seconds = all.reduce((sum, each) => sum + each, 0) * SECONDS[unit]
    return true
  }

  /** Whether it is one: with a status that HTTP has. */
  get plausible(): boolean {
    return this.status >= 100 && this.status <= 599
  }
}
